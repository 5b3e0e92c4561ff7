"""`rdctl help`: what it says is what the program does."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from rdctl.cli import topics
from rdctl.cli.blocks import Lines, Section, Terms
from rdctl.cli.topics import TOPICS
from rdctl.completion.nodes import walk
from rdctl.config.contexts import KEYS
from rdctl.core.errors import Code, Exit
from rdctl.output.schemas import CHANGE, SCHEMAS
from tests.conftest import Program

ROOT = Path(__file__).resolve().parent.parent.parent


def words(text: str) -> str:
    """The text however it is wrapped."""
    return " ".join(text.split())


def section(sections: list[Section], heading: str) -> Section:
    return next(section for section in sections if section.heading == heading)


def test_without_a_topic_all_are_listed(rdctl: Program) -> None:
    ran = rdctl("help")
    assert (ran.code, ran.err) == (0, "")
    for name, (line, _) in TOPICS.items():
        assert f"{name} {line}" in words(ran.out)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_the_same_in_every_format(rdctl: Program, topic: str) -> None:
    ran = rdctl("help", topic)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("\n")
    for option in ("--json", "-oyaml", "-oname", "-0", "--color=always"):
        assert rdctl("help", topic, option) == ran


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_shown_on_the_narrowest_terminal(rdctl: Program, topic: str) -> None:
    for width in (1, 2, 12):
        ran = rdctl("help", topic, width=width, tty=True)
        assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_keeps_to_the_terminal(rdctl: Program, topic: str, width: int) -> None:
    literal = {
        line.strip()
        for section in TOPICS[topic][1]()
        for block in section.blocks
        if isinstance(block, Lines)
        for line in block.lines
    }
    lines = rdctl("help", topic, width=width, tty=True).out.splitlines()
    wide = [ln for ln in lines if len(ln) > min(width, 100) and ln.strip() not in literal]
    # A single word may be longer than the terminal is wide.
    assert [line for line in wide if " " in line.strip()] == []


@pytest.mark.parametrize(
    ("word", "suggested"),
    [
        ("exit-code", '; did you mean "exit-codes"?'),
        ("enviroment", '; did you mean "environment"?'),
        ("rapidisk", '; did you mean "rapiddisk"?'),
        ("xyz", ""),
        ("\x1b[31m", ""),
    ],
)
def test_an_unknown_topic_gets_a_suggestion(rdctl: Program, word: str, suggested: str) -> None:
    ran = rdctl("help", word, "--json")
    assert ran.code == Exit.USAGE
    assert ran.json["error"]["code"] == "usage"
    assert ran.json["error"]["message"].endswith(f'"{suggested}')
    assert ran.json["error"]["hint"] == "Run: rdctl help"
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    ("words", "headings"),
    [
        ("output rapiddisk.volume", ["rdctl.rapiddisk.volume/1"]),
        ("concepts elect", ["Election"]),
        ("concepts ELECTION", ["Election"]),
        ("concepts quorum", ["Election"]),
        ("concepts power max-age", ["What is lost when"]),
    ],
)
def test_words_select_sections_by_heading_or_else_by_text(
    rdctl: Program, words: str, headings: list[str]
) -> None:
    ran = rdctl("help", *words.split(" "))
    assert ran.code == 0, ran.err
    assert re.findall(r"^(\S.*):$", ran.out, re.MULTILINE) == headings


def test_the_concepts_begin_with_a_list_of_their_parts() -> None:
    first, *rest = topics.concepts()
    (listed,) = [block for block in first.blocks if isinstance(block, Terms)]
    named = [part for _, parts in listed.terms for part in parts.split("; ")]
    assert sorted(named) == sorted(section.heading for section in rest)


def test_words_that_no_section_has(rdctl: Program) -> None:
    ran = rdctl("help", "concepts", "xyzzy")
    assert (ran.code, ran.out) == (2, "")
    assert 'unknown section "xyzzy" of concepts' in ran.err
    assert "; Write-through, write-around, writeback; What is lost when; " in words(ran.err)


@pytest.mark.parametrize("letters", ["c", "a b", "ti", "lection"])
def test_letters_within_words_select_no_section(rdctl: Program, letters: str) -> None:
    ran = rdctl("help", "concepts", *letters.split())
    assert (ran.code, ran.out) == (2, "")
    assert f'unknown section "{letters}" of concepts' in ran.err


def test_the_title_of_a_topic_is_not_listed_as_a_section(rdctl: Program) -> None:
    ran = rdctl("help", "concepts", "xyzzy")
    assert "hint: Existing sections: Context; Volume; " in words(ran.err)


def test_a_mistyped_section_gets_a_suggestion(rdctl: Program) -> None:
    ran = rdctl("help", "concepts", "elecion", "--json")
    message = 'unknown section "elecion" of concepts; did you mean "Election"?'
    assert (ran.code, ran.json["error"]["message"]) == (2, message)


@pytest.mark.parametrize("topic", topics.TOPICS)
def test_no_topic_is_broken_at_a_hyphen(rdctl: Program, topic: str) -> None:
    """So that a search finds `--dry-run`, and it can be pasted."""
    for width in (60, 80):
        assert re.findall(r"^.*\w-$", rdctl("help", topic, width=width).out, re.MULTILINE) == []


def test_every_exit_code_and_every_error_word_is_told(rdctl: Program) -> None:
    out = rdctl("help", "exit-codes", width=200).out
    numbers = re.findall(r"^  (\d+)  +\S", out, re.MULTILINE)
    assert numbers == [str(int(code)) for code in sorted(Exit)]
    for code in Code:
        line = rf"^  {code.word}  +{int(code.exit)}: {re.escape(code.meaning)}$"
        assert re.search(line, out, re.MULTILINE), code


def test_every_key_of_every_schema_is_told(rdctl: Program) -> None:
    out = words(rdctl("help", "output").out)
    for schema in (CHANGE, *SCHEMAS.values()):
        start = out.index(f"{schema.name}: ")
        for column in schema.columns:
            start = out.index(f" {column.key} {words(column.doc)}", start)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_schema_names_a_command_that_shows_it(rdctl: Program, schema: str) -> None:
    assert re.search(rf"{schema}: rdctl [a-z]", words(rdctl("help", "output").out))


def keys(document: object) -> object:
    """What a document is made of: its keys, however deep."""
    if isinstance(document, dict):
        return {key: keys(value) for key, value in document.items()}
    return [keys(entry) for entry in document] if isinstance(document, list) else None


def test_the_envelopes_are_those_of_real_runs(rdctl: Program) -> None:
    blocks = section(topics.output(), "Envelopes").blocks
    shown = [json.loads("\n".join(b.lines)) for b in blocks if isinstance(b, Lines)]
    listing = rdctl("-c", "sandbox", "rapiddisk", "list", "--json")
    item = rdctl("sandbox", "path", "--json")
    change = rdctl("-c", "sandbox", "rapiddisk", "create", "64", "--json")
    error = rdctl("-c", "sandbox", "rapiddisk", "show", "rd7", "--json")
    real = [ran.json for ran in (listing, item, change, error)]
    assert [keys(document) for document in shown] == [keys(document) for document in real]
    assert [d["schema"] for d in shown] == [d["schema"] for d in real]
    assert shown[2] == real[2]


def test_every_variable_in_the_sources_is_told_and_no_other(rdctl: Program) -> None:
    used = set()
    for path in (ROOT / "rdctl").rglob("*.py"):
        # A server's environ is that of a request.
        if "sandbox" in path.parts or path.name == "topics.py":
            continue
        text = path.read_text("utf-8")
        used |= set(re.findall(r"""environ(?:\.get\(|\[)["'](\w+)["']""", text))
        if "os.get_exec_path(" in text:
            used.add("PATH")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used |= set(re.findall(r"\b(?:RDCTL|OIO|XDG)_[A-Z_]*[A-Z]\b", node.value))
    out = rdctl("help", "environment", width=200).out
    told = set(re.findall(r"^  ([A-Z][A-Z_]+)  +\S", out, re.MULTILINE))
    assert told == used


def test_every_key_of_a_context_is_told(rdctl: Program) -> None:
    out = words(rdctl("help", "config").out)
    for key, (_, doc) in KEYS.items():
        assert f" {key} {doc}" in out


def test_the_example_of_a_configuration_is_one(rdctl: Program) -> None:
    (block,) = section(topics.config(), "Example").blocks
    assert isinstance(block, Lines)
    rdctl.config.write_text("\n".join(block.lines))
    contexts = rdctl("context", "list", "--json").json["items"]
    assert [context["name"] for context in contexts] == ["lab", "production", "sandbox"]
    assert [context["current"] for context in contexts] == [True, False, False]
    settings = rdctl("context", "show", "--json").json["items"]
    origins = {row["key"]: row["origin"] for row in settings}
    assert origins["timeout"] == origins["account"] == "context lab (current)"


def test_topics_stand_in_the_helps_own_line() -> None:
    from rdctl.cli.tree import root

    text = next(node.command.help for node in walk(root) if node.path == "rdctl help")
    assert [name for name in TOPICS if name not in str(text)] == []
