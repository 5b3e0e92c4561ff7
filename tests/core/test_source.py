"""The line of each key, in every way that TOML and JSON have to write one."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdctl.core.errors import RdctlError
from rdctl.core.source import from_json, from_toml, toml_string

EVERYTHING = '''\
# [not.a] table = "here"
top = """
[neither] # this
a = 1 \\""" """""  # five quotes end it
[a.b.c]  # makes a and a.b
one = 1

[ a . "b c" . 'd"e' ]
"q.\\u0061 #" = [ # ] not the end
  "]", 'x', [
    1, 2],  { in = { deep = "}" }, other = 2 },
]
date = 1979-05-27 07:32:00 # a blank in a value
empty = ""
literal = \'\'\'
]
\'\'\'\'\'
d.e.f = {}
d . e . g = []
[a]
late = 1
[[list]]
x = 1
[[list]]
x = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("a",), 20),
        (("a", "b"), 5),
        (("a", "b", "c"), 5),
        (("a", "b", "c", "one"), 6),
        (("a", "b c"), 8),
        (("a", "b c", 'd"e'), 8),
        (("a", "b c", 'd"e', "q.a #"), 9),
        (("a", "b c", 'd"e', "q.a #", 0), 10),
        (("a", "b c", 'd"e', "q.a #", 2, 1), 11),
        (("a", "b c", 'd"e', "q.a #", 3, "in", "deep"), 11),
        (("a", "b c", 'd"e', "q.a #", 3, "other"), 11),
        (("a", "b c", 'd"e', "date"), 13),
        (("a", "b c", 'd"e', "empty"), 14),
        (("a", "b c", 'd"e', "literal"), 15),
        (("a", "b c", 'd"e', "d"), 18),
        (("a", "b c", 'd"e', "d", "e", "f"), 18),
        (("a", "b c", 'd"e', "d", "e", "g"), 19),
        (("a", "late"), 21),
        (("a", "missing"), 20),
        (("missing",), 1),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_lines_of_toml(path: tuple[str | int, ...], line: int, ends: str) -> None:
    source = from_toml("f", EVERYTHING.replace("\n", ends))
    assert source.data["a"]["b c"]['d"e']["q.a #"][3] == {"in": {"deep": "}"}, "other": 2}
    assert source.at(*path) == f"f, line {line}"


def test_lines_of_json() -> None:
    text = '\n{"a": {"b,":\n [1, {"c\\"":\n "}"}],\n"": null}, "d"\n: [[],\n{}]}'
    source = from_json("f", text)
    paths = [("a",), ("a", "b,"), ("a", "b,", 1, 'c"'), ("a", ""), ("d",), ("d", 1)]
    assert [source.at(*path) for path in paths] == [f"f, line {n}" for n in (2, 2, 3, 5, 5, 7)]


def test_a_key_of_json_that_exists() -> None:
    with pytest.raises(RdctlError) as caught:
        from_json("f", '{"a": [{"b": 1},\n {"b": 1,\n\n"\\u0062": 2}]}')
    assert str(caught.value) == 'f, line 4: key "b" already exists in line 2'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "f, line 1: invalid JSON: expecting property name enclosed in double quotes"),
        ('{"a": 1}\n x', "f, line 2: invalid JSON: extra data"),
        ('{"a":\n' + "9" * 5000 + "}", "f, line 2: a number has too many digits"),
        ('{"a":' + "[" * 100000 + "]" * 100000 + "}", "f: nested too deep"),
        ('{"a":' + '{"a":' * 300 + "1" + "}" * 301, None),
    ],
)
def test_invalid_json(text: str, message: str | None) -> None:
    if message is None:
        assert from_json("f", text).data["a"]["a"]
        return
    with pytest.raises(RdctlError) as caught:
        from_json("f", text)
    assert str(caught.value) == message


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=5), st.integers(0, 3))
def test_every_key_of_json_is_found(data: dict[str, object], indent: int) -> None:
    text = json.dumps(data, indent=indent)
    source = from_json("f", text)
    for key in data:
        line = int(source.at(key).removeprefix("f, line "))
        assert json.dumps(key) in text.split("\n")[line - 1]


@settings(deadline=None)
@given(st.text())
def test_strings_of_toml(text: str) -> None:
    written = toml_string(text)
    assert tomllib.loads(f"{written} = {written}") == {text: text}
    assert written.isprintable()


@settings(deadline=None)
@given(st.lists(st.text(), unique=True, max_size=6), st.text())
def test_keys_of_toml_with_any_name(names: list[str], value: str) -> None:
    tables = [f"[t.{toml_string(name)}]\nk = {toml_string(value)}" for name in names]
    source = from_toml("f", "\n".join(tables))
    for number, name in enumerate(names):
        assert source.at("t", name) == f"f, line {2 * number + 1}"
        assert source.at("t", name, "k") == f"f, line {2 * number + 2}"
