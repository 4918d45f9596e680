"""Functions of a model's variables that take those of few bits too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from bigmodel.experiment import Variables
from bigmodel.models.layers.reading import changed_inputs
from bigmodel.predictor import Predictor
from bigmodel.quantized import input_ranges, restored, rounded_inputs


def reading(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of variables, which takes those of :mod:`bigmodel.quantized` too.

    Layers whose inputs have a range read them rounded: the products of eight-bit integers, but for
    the order of their sums.
    """

    @functools.wraps(function)
    def read(variables: Variables, *arguments: Any, **options: Any) -> Any:
        with _rounding(variables):
            return function(restored(variables), *arguments, **options)

    return read


def reading_predictor(predictor: Predictor) -> Predictor:
    """The predictor, whose functions take variables of few bits too."""
    stream, model = predictor.stream, predictor.model

    def pieces(variables: Variables, each: Any) -> Iterator[str]:
        assert stream is not None
        found = stream(restored(variables), each)
        while True:
            # Only while a piece is made, for the caller may use other networks between two.
            with _rounding(variables):
                piece = next(found, None)
            if piece is None:
                return
            yield piece

    return predictor._replace(
        apply=reading(predictor.apply),
        stream=None if stream is None else pieces,
        model=None if model is None else model._replace(apply=reading(model.apply)),
    )


def _rounding(variables: Variables) -> AbstractContextManager[None]:
    ranges = input_ranges(variables)
    if not ranges:
        return nullcontext()
    return changed_inputs(lambda path, x: rounded_inputs(x, ranges[path]) if path in ranges else x)
