"""What people type by habit: help in any order, words of other tools, headings for keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdctl.cli.meanings import DESTRUCTIVE, MEANINGS, SYNONYMS
from rdctl.cli.tree import root
from rdctl.completion.nodes import walk
from tests.conftest import Program, Ran

Sandbox = Callable[..., Ran]
NODES: dict[str, Any] = {node.path: node.command for node in walk(root)}

# Help ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("help rapiddisk create", "rapiddisk create"),
        ("help oio container", "oio container"),
        ("help oio bucket rm", "oio container destroy"),
        ("help object cat", "oio content get"),
        ("rapiddisk help help", "rapiddisk"),
        ("rapiddisk help create", "rapiddisk create"),
        ("rapiddisk help", "rapiddisk"),
        ("oio content help put", "oio content put"),
        ("help help", "help"),
        ("rapiddisk", "rapiddisk"),
        ("oio content", "oio content"),
    ],
)
def test_help_in_any_order(rdctl: Program, words: str, path: str) -> None:
    ran = rdctl(*words.split())
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == rdctl(*path.split(), "--help").out
    assert ran.out.startswith(f"Usage: rdctl {path} ")


def test_rdctl_alone_shows_its_help(rdctl: Program) -> None:
    assert rdctl().out == rdctl("--help").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("help nope", 'unknown command or help topic "nope"\nhint: Run: rdctl help\n'),
        ("help outpt", 'unknown command or help topic "outpt"; did you mean "output"?'),
        ("help rapiddisk lst", 'unknown command "lst" for "rdctl rapiddisk"; did you mean "list"?'),
        ("rapiddisk help nope", 'unknown command "nope" for "rdctl rapiddisk"'),
        ("help rapiddisk list x", 'unexpected argument "x" after "rdctl rapiddisk list"'),
    ],
)
def test_help_of_nothing(rdctl: Program, words: str, message: str) -> None:
    ran = rdctl(*words.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"rdctl: error: {message}")


def test_a_section_of_a_topic(rdctl: Program) -> None:
    whole = rdctl("help", "output").out
    part = rdctl("help", "output", "rapiddisk.volume").out
    assert part.startswith("rdctl.rapiddisk.volume/1:\n")
    assert part.strip() in whole
    assert "volume-detail/1:" not in part
    assert "conscience list" in rdctl("help", "output", "oio.service").out
    none = rdctl("help", "output", "nope")
    assert none.code == 2
    assert none.err.startswith('rdctl: error: unknown section "nope" of output\nhint: Existing')


def test_a_pager_only_on_request_and_on_a_terminal(rdctl: Program, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/shown\n")
    pager.chmod(0o755)
    text = rdctl("help", "config").out
    for words, tty in ((["--pager"], False), ([], True)):
        assert rdctl("help", "config", *words, env={"PAGER": str(pager)}, tty=tty).out == text
    assert not (tmp_path / "shown").exists()
    ran = rdctl("help", "config", "--pager", env={"PAGER": f"'{pager}'"}, tty=True)
    assert (ran.code, ran.out, (tmp_path / "shown").read_text()) == (0, "", text)
    assert rdctl("help", "config", "--pager", env={"PAGER": "/nope"}, tty=True).out == text
    wrong = rdctl("help", "config", "--pager", env={"PAGER": "'"}, tty=True)
    assert (wrong.code, wrong.err.startswith('rdctl: error: invalid PAGER "\'": ')) == (2, True)


def test_a_script_gets_an_error_for_a_noun_alone(rdctl: Program) -> None:
    ran = rdctl("rapiddisk", "--json")
    assert (ran.code, ran.json["error"]["message"]) == (2, "missing command")


def test_the_version(rdctl: Program) -> None:
    assert rdctl("--version").out == rdctl("-V").out
    assert rdctl("-V").out == f"rdctl {rdctl('version', '-o', 'name').out}"


# Synonyms -----------------------------------------------------------------------------------------


def test_a_synonym_is_no_verb_and_what_it_means_is() -> None:
    for noun, words in SYNONYMS.items():
        for word, meant in words.items():
            assert f"{noun} {word}" not in NODES
            assert f"{noun} {meant.split(' --')[0]}" in NODES, (noun, word)


def test_a_synonym_is_not_suggested_as_well() -> None:
    for noun, words in SYNONYMS.items():
        suggested = {
            word for several in MEANINGS.get(noun, {}).values() for word in several.split()
        }
        assert not suggested & words.keys(), noun


def test_a_synonym_destroys_no_more_than_its_word() -> None:
    harsh = {"rm", "delete", "remove", "destroy", "erase", "empty", "unmap", "unexport"}
    for words in SYNONYMS.values():
        destroying = {word for word, meant in words.items() if meant.split()[-1] in DESTRUCTIVE}
        assert destroying <= harsh


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("rapiddisk ls", "rapiddisk list"),
        ("disk ls -o name", "rapiddisk list -o name"),
        ("rapiddisk info rd0", "rapiddisk show rd0"),
        ("bucket describe photos", "oio container show photos"),
        ("oio object ls photos", "oio content list photos"),
        ("object cat photos index.txt", "oio content get photos index.txt --to -"),
        ("contexts ls", "context list"),
    ],
)
def test_a_synonym_does_what_it_means(sandbox: Sandbox, typed: str, known: str) -> None:
    ran, expected = sandbox(*typed.split()), sandbox(*known.split())
    assert (ran.code, ran.out, ran.err) == (0, expected.out, expected.err)
    assert ran.out


@pytest.mark.parametrize("word", ["rm", "delete", "destroy"])
def test_a_synonym_that_destroys_takes_one_name(sandbox: Sandbox, word: str) -> None:
    sandbox("rapiddisk", "create", "1M", "--count", "2")
    for names in (["rd1", "rd2"], ["-"], ["--", "rd1", "rd2"]):
        ran = sandbox("rapiddisk", word, *names, "--yes", stdin=b"rd1\n")
        assert ran.code == 2
        assert ran.err == (
            f'rdctl: error: "{word}" takes one name, on one context\n'
            "hint: For several: rdctl -c sandbox rapiddisk remove ...\n"
        )
    assert sandbox("rapiddisk", word, "rd1").code == 2  # asks as the verb does
    assert sandbox("rapiddisk", word, "rd1", "--yes").out == "removed rd1\n"
    assert "rd2" in sandbox("rapiddisk", "list", "-o", "name").out


def test_an_object_is_one_name_in_its_container(sandbox: Sandbox) -> None:
    assert sandbox("object", "rm", "photos", "index.txt", "--yes").out == "deleted index.txt\n"
    words = ("object", "rm", "photos", "sea/storm.svg", "sea/harbour.svg", "--yes")
    assert sandbox(*words).code == 2


def test_a_synonym_that_destroys_takes_one_context(rdctl: Program) -> None:
    for name in ("a", "b"):
        rdctl("context", "set", name, "rapiddisk=http://127.0.0.1:1")
    ran = rdctl("-c", "a,b", "rapiddisk", "rm", "rd1", "--yes")
    assert (ran.code, "takes one name, on one context" in ran.err) == (2, True)


def test_a_synonym_is_hidden(rdctl: Program) -> None:
    assert not any(" ls " in rdctl(*noun.split()[1:], "--help").out for noun in SYNONYMS)


# Columns and queries ------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["device,size", "DEVICE,SIZE", "Device, Size"])
def test_headings_are_understood_as_keys(sandbox: Sandbox, columns: str) -> None:
    expected = sandbox("rapiddisk", "list", "--json", "--columns", "device,size")
    ran = sandbox("rapiddisk", "list", "--json", "--columns", columns)
    assert ran.json == expected.json
    assert list(ran.json["items"][0]) == ["device", "size"]
    shown = sandbox("rapiddisk", "list", "--columns", columns, "--sort-by", "-SIZE")
    assert shown.out.splitlines()[0].split() == ["DEVICE", "SIZE"]


def test_columns_are_named(sandbox: Sandbox) -> None:
    ran = sandbox("rapiddisk", "list", "--columns", "help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Columns of volumes:\n  device ")
    planned = sandbox("rapiddisk", "remove", "rd0", "--columns", "help")
    assert (planned.code, planned.out.split()[:3]) == (0, ["Columns", "of", "changes:"])


def test_a_query_that_finds_nothing_says_so_on_a_terminal(sandbox: Sandbox) -> None:
    words = ("rapiddisk", "list", "--query", "[?device=='rd9']")
    assert sandbox(*words, tty=True).err == "No results.\n"
    assert (sandbox(*words).out, sandbox(*words).err) == ("", "")


def test_a_growth_that_is_no_whole_size_offers_growths(sandbox: Sandbox) -> None:
    """Pasted without its plus, the nearest size would shrink the volume."""
    ran = sandbox("rapiddisk", "resize", "rd0", "+64MB")
    assert ran.code == 2
    assert ran.err == (
        'rdctl: error: invalid size "+64MB": must be a whole number of MiB\n'
        "hint: 64MB is 64000000 bytes, a decimal unit. Nearest: +61M or +62M.\n"
    )


@pytest.mark.parametrize("word", ["10G", "10GiB", "quota=10G"])
def test_a_limit_is_not_created_as_a_container(sandbox: Sandbox, word: str) -> None:
    ran = sandbox("oio", "container", "create", "docs", word)
    assert (ran.code, f'"{word}" looks like a limit' in ran.err) == (2, True)
    assert sandbox("oio", "container", "list", "-o", "name").out == "photos\n"
    assert sandbox("oio", "container", "create", word).out == f"created {word}\n"


def test_a_quota_has_a_unit(sandbox: Sandbox) -> None:
    for verb in ("create docs", "set-properties photos"):
        ran = sandbox("oio", "container", *verb.split(), "--quota", "10")
        assert (ran.code, "hint: For bytes write 10B, for MiB 10M.\n" in ran.err) == (2, True)
    assert sandbox("oio", "container", "create", "docs", "--quota", "0").code == 0


# Contexts -----------------------------------------------------------------------------------------


def test_the_current_context(rdctl: Program) -> None:
    ran = rdctl("context", "current")
    assert ran.code == 3
    assert ran.err == (
        "rdctl: error: no current context: commands use RapidDisk on this machine\n"
        "hint: Set one: rdctl context use NAME\n"
    )
    rdctl("context", "use", "sandbox")
    assert rdctl("context", "current", "-o", "name").out == "sandbox\n"
    assert rdctl("context", "set", "lab", "account=x").out == 'Context "lab" created.\n'
    assert rdctl("context", "set", "lab", "account=y").out == 'Context "lab" updated.\n'
    assert rdctl("-c", "lab", "context", "current", "-o", "name").out == "lab\n"


def test_a_context_gets_another_name(rdctl: Program) -> None:
    rdctl.config.write_text(
        '# Mine.\ncurrent = "lab"\n\n[contexts.lab] # of the lab\naccount = "x" # me\n\n'
        '[contexts."a.b"]\naccount = "y"\n'
    )
    assert rdctl("context", "rename", "lab", "rack.1").out == 'Context "lab" renamed to "rack.1".\n'
    assert rdctl.config.read_text() == (
        '# Mine.\ncurrent = "rack.1"\n\n[contexts."rack.1"] # of the lab\naccount = "x" # me\n\n'
        '[contexts."a.b"]\naccount = "y"\n'
    )
    assert rdctl("context", "rename", "a.b", "c").code == 0
    before = rdctl.config.read_text()
    for words, code in (
        (["sandbox", "x"], 2),
        (["nope", "x"], 3),
        (["c", "rack.1"], 4),
        (["c", "sandbox"], 4),
        (["c", "a b"], 2),
    ):
        assert rdctl("context", "rename", *words).code == code
    assert rdctl.config.read_text() == before
