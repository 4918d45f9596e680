"""Chat templates: what Jinja makes of them, and nothing of what it would let them do."""

import re
import time
import tracemalloc

import pytest

from bigmodel.experiment import InputError

jinja2 = pytest.importorskip("jinja2")

from bigmodel.data.dialogues.template import render  # noqa: E402

PLAIN = """{%- for message in messages %}
    {{- '<|' + message['role'] + '|>\\n' + message.content | trim + eos_token + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}<|assistant|>
{% endif %}"""
SYSTEM = """{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}
{% set rest = messages[1:] %}{% else %}{% set system = 'Be brief.' %}
{% set rest = messages %}{% endif %}
{{ bos_token }}{{ system }}
{% for m in rest if m.role != 'tool' %}
{% if loop.first and (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('roles have to alternate') }}
{% endif %}
{{ loop.index ~ '/' ~ loop.length ~ ' ' ~ m.role.upper() }}:
{{ m['content'].replace('a', 'b').strip() -}}
{{ '' if loop.last else ' |' }}
{% else %}nothing{% endfor %}"""
SPACE = """{%- set ns = namespace(count=0, seen='') -%}
{%- for message in messages -%}
  {%- if message.role in ['user', 'assistant'] and message.content is string -%}
    {%- set ns.count = ns.count + 1 -%}{%- set ns.seen = ns.seen ~ message.role[0] -%}
  {%- elif message.tool_calls is defined and message.tool_calls -%}
    {{- message.tool_calls | tojson -}}
  {%- else -%}[{{ message.content | length }}]{%- endif -%}
{%- endfor -%}
{{ ns.count }}{{ ns.seen }}{{ missing }}{{ tools is none }}{{ none }}{{ 7 // 2 * 2 - 1 }}
{%- for key, value in {'a': 1, 'b': [true, 2.5]}.items() %}
 {{ key }}={{ value | tojson }}{% endfor %}
{{ messages[-1].content.split('|')[-1] }}{{ messages | length > 2 and not tools }}
{% generation %}{{ missing | default('x') }}{{ (messages | last)['role'] }}{% endgeneration %}"""
MESSAGES = [
    {"role": "system", "content": " Speak plainly. "},
    {"role": "user", "content": "What is 'a' & <b>?\n"},
    {"role": "assistant", "content": "A letter | é"},
]


def by_jinja(template, variables):
    """As other programs render it, in Jinja's sandbox."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message):
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.globals["raise_exception"] = refuse
    plain = re.sub(r"\{% generation %\}", "{% if true %}", template)
    plain = re.sub(r"\{% endgeneration %\}", "{% endif %}", plain)
    return environment.from_string(plain).render(**variables)


@pytest.mark.parametrize("asking", [False, True])
@pytest.mark.parametrize("messages", [MESSAGES, MESSAGES[1:], MESSAGES[1:2], MESSAGES[:1]])
@pytest.mark.parametrize("template", [PLAIN, SYSTEM, SPACE])
def test_a_template_gives_the_text_that_jinja_gives(template, messages, asking):
    variables = {"messages": messages, "add_generation_prompt": asking, "tools": None}
    variables |= {"bos_token": "<s>", "eos_token": "</s>"}
    assert render(template, variables) == by_jinja(template, variables)


DOUBLED = "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = SUM %}{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages.__len__() }}",
        "{{ '%s' % messages.__class__ }}",
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ messages | attr('__class__') }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('true') }}",
        "{{ namespace }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ range(10 ** 9) }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ messages | tojson(indent=1000000000) }}",
        DOUBLED.replace("SUM", "ns.s + ns.s"),
        DOUBLED.replace("SUM", "ns.s ~ ns.s"),
        DOUBLED.replace("SUM", "ns.s.replace('a', ns.s)"),
        DOUBLED.replace("SUM", "ns.s | replace('a', ns.s)"),
        DOUBLED.replace("SUM", "[ns.s, ns.s]") + "{{ ns.s | tojson }}",
        DOUBLED.replace("'ab'", "9").replace("SUM", "ns.s * ns.s"),
        "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns | tojson }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{% if true %}",
        "{{ missing.role }}",
        "{{ 1 // 0 }}",
        "{{ messages[0].content + 1 }}",
        "{{ raise_exception('a line\nand another') }}",
        "x" * (1 << 19),
    ],
)  # fmt: skip
def test_what_no_chat_template_needs_is_refused_in_a_line_and_takes_nothing(template):
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(InputError, match="the chat template cannot be used: ") as error:
        render(template, {"messages": MESSAGES})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert peak < 100e6
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    "value", ["''", "messages", "messages[0]", "range", "raise_exception", "namespace()", "1"]
)
@pytest.mark.parametrize("name", ["__class__", "__globals__", "__init__", "format", "append"])
def test_no_attribute_of_an_object_is_defined(value, name):
    template = f"{{{{ {value}.{name} is undefined and {value}['{name}'] is undefined }}}}"
    assert render(template, {"messages": MESSAGES}) == "True"


def test_a_template_changes_nothing_of_what_it_is_given():
    messages = [dict(each) for each in MESSAGES]
    given = {"messages": messages}
    with pytest.raises(InputError, match="line 1 sets a NSRef"):
        render("{% set messages.x = 1 %}", given)
    assert render("{% set messages = 2 %}{{ messages }}", given) == "2"
    assert given == {"messages": MESSAGES}
