"""Chat templates in Jinja's language, walked as a tree and never executed.

A template comes with a model's configuration, from strangers. Jinja turns one into a Python program
and runs it, in its sandbox too, where it may take any time and memory. Here Jinja does no more than
parse it. What chat templates are made of is evaluated by the functions below, of every branch that
is taken: nothing of a Python object can be reached but the few methods that are listed, and every
node, element and character counts against a limit. Macros, blocks and includes are refused.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import jinja2
from jinja2 import nodes
from jinja2.tests import TESTS as ALL_TESTS

from bigmodel.experiment import InputError

WORK = 500_000
"""The most nodes of the tree; a turn of a loop counts as eight, and so do 64 characters."""
LONGEST = 1 << 18
"""Characters of a template."""
WHOLE = 1 << 63
"""Numbers stay below it."""
METHODS: Mapping[type, tuple[str, ...]] = {
    str: ("strip", "lstrip", "rstrip", "split", "rsplit", "startswith", "endswith", "replace",
          "upper", "lower", "title", "capitalize", "find", "count"),
    dict: ("items", "keys", "values", "get"),
}  # fmt: skip
"""What may be called of an object."""
TESTS = (
    "boolean", "defined", "undefined", "divisibleby", "eq", "equalto", "==", "ne", "!=", "even",
    "odd", "false", "true", "none", "in", "integer", "number", "iterable", "mapping", "sequence",
    "string",
)  # fmt: skip
COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lteq": operator.le,
    "gt": operator.gt, "gteq": operator.ge, "in": lambda one, other: one in other,
    "notin": lambda one, other: one not in other,
}  # fmt: skip
ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    nodes.Sub: operator.sub, nodes.Mul: operator.mul, nodes.Mod: operator.mod,
    nodes.FloorDiv: operator.floordiv, nodes.Div: operator.truediv,
}  # fmt: skip
GENERATION = re.compile(r"(\{%[-+]?)\s*(end)?generation\s*([-+]?%\})")
"""A tag around an answer, which says nothing about the text."""
Scope: TypeAlias = "ChainMap[str, Any]"


class RefusedError(Exception):
    """The template refuses its variables, or does what is not done here."""


class Namespace(dict[str, Any]):
    """What ``namespace()`` makes: the one thing of which a loop may set parts for good."""


def render(template: str, variables: Mapping[str, Any]) -> str:
    """The text that a template makes of variables such as ``messages``.

    Raises:
        InputError: It is no template, refuses the variables, or does what is not done here.
    """
    walk = _Walk()
    given = {"namespace": Namespace, "range": walk.range, "raise_exception": walk.refuse}
    try:
        return "".join(walk.run(_parsed(template).body, ChainMap({}, {**variables, **given})))
    except (
        jinja2.TemplateError, RefusedError, RecursionError, ArithmeticError, LookupError, TypeError,
        ValueError, AttributeError,
    ) as error:  # fmt: skip
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"the chat template cannot be used: {said}") from None


@functools.lru_cache(maxsize=8)
def _parsed(template: str) -> nodes.Template:
    if len(template) > LONGEST:
        raise RefusedError(f"it has {len(template)} characters, more than {LONGEST}")
    plain = GENERATION.sub(
        lambda tag: f"{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}", template
    )
    return jinja2.Environment(trim_blocks=True, lstrip_blocks=True).parse(plain)


class _Walk:
    """One rendering, which counts its work."""

    def __init__(self) -> None:
        self.left = WORK
        self.filters: Mapping[str, Callable[..., Any]] = {
            "trim": lambda text: self.text(text).strip(),
            "upper": lambda text: self.text(text).upper(),
            "lower": lambda text: self.text(text).lower(),
            "title": lambda text: self.text(text).title(),
            "capitalize": lambda text: self.text(text).capitalize(),
            "replace": lambda text, old, new: self.replaced(self.text(text), old, new),
            "first": lambda each: self.part(each, 0),
            "last": lambda each: self.part(each, -1),
            "default": lambda value, other="": value if defined(value) else other,
            "items": lambda each: list(each.items()) if isinstance(each, dict) else [],
            "string": self.text, "tojson": self.tojson, "length": len, "list": list, "int": int,
        }  # fmt: skip

    def spend(self, nodes: int = 1, *, elements: int = 0) -> None:
        self.left -= nodes + elements // 8
        if self.left < 0:
            raise RefusedError("it does more than any dialogue needs, or never ends")

    def refuse(self, message: Any = "") -> None:
        raise RefusedError(self.text(message))

    def range(self, *limits: int) -> range:
        found = range(*limits)
        self.spend(len(found))
        return found

    def text(self, value: Any) -> str:
        if not isinstance(value, str | int | float | None | jinja2.Undefined):
            raise RefusedError(f"it writes out a {type(value).__name__}; tojson does that")
        found = str(value)
        self.spend(elements=len(found))
        return found

    def tojson(self, value: Any, indent: int | None = None) -> str:
        if indent is not None and not 0 <= indent <= 8:
            raise RefusedError("it indents by more than 8")
        found = []
        # In pieces, for a small value may have another in it many times.
        for piece in json.JSONEncoder(ensure_ascii=False, indent=indent).iterencode(value):
            self.spend(8, elements=len(piece))
            found.append(piece)
        return "".join(found)

    def replaced(self, text: str, old: str, new: str) -> str:
        self.spend(elements=text.count(old) * len(new))
        return text.replace(old, new)

    def part(self, value: Any, key: Any) -> Any:
        """A part of a text, a list or a mapping, or a method; undefined where there is none."""
        if isinstance(value, jinja2.Undefined):
            raise RefusedError(f"{value._undefined_name or 'something'} is undefined")
        if isinstance(value, dict) and key in value:
            return value[key]
        if isinstance(value, str | list | tuple) and isinstance(key, slice):
            return value[key]
        if isinstance(value, str | list | tuple) and isinstance(key, int):
            return (
                value[key] if -len(value) <= key < len(value) else jinja2.Undefined(name=str(key))
            )
        for kind, methods in METHODS.items():
            if isinstance(value, kind) and key in methods:
                method: Any = getattr(kind, key) if key != "replace" else self.replaced
                return functools.partial(method, value)
        return jinja2.Undefined(name=str(key)[:40])

    def run(self, body: Sequence[nodes.Node], scope: Scope) -> Iterator[str]:
        """The text of statements."""
        for node in body:
            self.spend()
            match node:
                case nodes.Output():
                    yield from (self.text(self.value(each, scope)) for each in node.nodes)
                case nodes.If():
                    for branch in (node, *node.elif_):
                        if self.value(branch.test, scope):
                            yield from self.run(branch.body, scope)
                            break
                    else:
                        yield from self.run(node.else_, scope)
                case nodes.For(recursive=False):
                    yield from self.loop(node, scope)
                case nodes.Assign():
                    self.assign(node.target, self.value(node.node, scope), scope)
                case _:
                    raise RefusedError(f"line {node.lineno} has a {type(node).__name__}")

    def loop(self, node: nodes.For, scope: Scope) -> Iterator[str]:
        turns = []
        for value in self.value(node.iter, scope):
            self.spend(8)
            inner = scope.new_child()
            self.assign(node.target, value, inner)
            if node.test is None or self.value(node.test, inner):
                turns.append(inner)
        for index, inner in enumerate(turns):
            last = index + 1 == len(turns)
            inner["loop"] = {
                "index": index + 1, "index0": index, "first": index == 0, "last": last,
                "length": len(turns),
            }  # fmt: skip
            yield from self.run(node.body, inner)
        if not turns:
            yield from self.run(node.else_, scope.new_child())

    def assign(self, target: nodes.Node, value: Any, scope: Scope) -> None:
        match target:
            case nodes.Name():
                scope[target.name] = value
            case nodes.NSRef() if isinstance(scope.get(target.name), Namespace):
                scope[target.name][target.attr] = value
            case nodes.Tuple():
                for each, part in zip(target.items, value, strict=True):
                    self.assign(each, part, scope)
            case _:
                raise RefusedError(f"line {target.lineno} sets a {type(target).__name__}")

    def value(self, node: nodes.Node | None, scope: Scope) -> Any:
        """The value of an expression, whose elements and characters count."""
        found = None if node is None else self.evaluated(node, scope)
        self.spend(elements=len(found) if isinstance(found, str | list | tuple | dict) else 0)
        if isinstance(found, int) and abs(found) >= WHOLE:
            raise RefusedError("it has too large a number")
        return found

    def evaluated(self, node: Any, scope: Scope) -> Any:
        def of(each: nodes.Node | None) -> Any:
            return self.value(each, scope)

        match node:
            case nodes.Const():
                return node.value
            case nodes.TemplateData():
                return node.data
            case nodes.Name():
                return scope.get(node.name, jinja2.Undefined(name=node.name))
            case nodes.List():
                return [of(each) for each in node.items]
            case nodes.Tuple():
                return tuple(of(each) for each in node.items)
            case nodes.Dict():
                return {of(pair.key): of(pair.value) for pair in node.items}
            case nodes.Getattr():
                return self.part(of(node.node), node.attr)
            case nodes.Getitem(arg=nodes.Slice() as at):
                return self.part(of(node.node), slice(of(at.start), of(at.stop), of(at.step)))
            case nodes.Getitem():
                return self.part(of(node.node), of(node.arg))
            case nodes.Call(dyn_args=None, dyn_kwargs=None):
                return self.called(of(node.node), node, scope)
            case nodes.Filter() if node.name in self.filters:
                return self.called(self.filters[node.name], node, scope, of(node.node))
            case nodes.Test() if node.name in TESTS:
                return self.called(ALL_TESTS[node.name], node, scope, of(node.node))
            case nodes.Not():
                return not of(node.node)
            case nodes.And():
                return of(node.left) and of(node.right)
            case nodes.Or():
                return of(node.left) or of(node.right)
            case nodes.CondExpr(test=test, expr1=one, expr2=other):
                if of(test):
                    return of(one)
                return jinja2.Undefined() if other is None else of(other)
            case nodes.Compare():
                value = of(node.expr)
                for each in node.ops:
                    before, value = value, of(each.expr)
                    if not COMPARED[each.op](before, value):
                        return False
                return True
            case nodes.Concat():
                return "".join(self.text(of(each)) for each in node.nodes)
            case nodes.Add():
                return of(node.left) + of(node.right)
            case nodes.BinExpr() if type(node) in ARITHMETIC:
                pair = of(node.left), of(node.right)
                if not all(isinstance(each, int | float) for each in pair):
                    raise RefusedError(f"line {node.lineno} calculates with what is no number")
                return ARITHMETIC[type(node)](*pair)
            case nodes.Neg():
                return -of(node.node)
        what = f"{type(node).__name__} {getattr(node, 'name', '')}".strip()
        raise RefusedError(f"line {node.lineno} has a {what}, which is not done here")

    def called(self, function: Any, node: Any, scope: Scope, *first: Any) -> Any:
        if isinstance(function, jinja2.Undefined) or not callable(function):
            raise RefusedError(f"line {node.lineno} calls what is no function")
        arguments = [self.value(each, scope) for each in node.args]
        return function(
            *first, *arguments, **{e.key: self.value(e.value, scope) for e in node.kwargs}
        )


def defined(value: Any) -> bool:
    """Whether a name or a part of something was there."""
    return not isinstance(value, jinja2.Undefined)
