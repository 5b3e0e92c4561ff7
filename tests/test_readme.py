"""The README is short, and leads to each answer in two steps: a link, and its section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_docs import anchor_of, without_fences

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
# What a newcomer asks, and what the section behind the link has to say.
ANSWERS = {
    "What does write-around mean, or write-through, or writeback?": (
        *("write-around", "the disk only", "write-through", "writeback", "written back"),
    ),
    "What is lost when power fails?": ("power fails", "not yet", "writeback", "nothing", "volumes"),
    "What does flush do?": ("rdctl rapiddisk flush", "erases", "rdctl rapiddisk cache sync"),
    "How does everything come back after a reboot?": ("boot enable", "reboot", "shutdown"),
    "What does rdctl refuse, and what does it ask?": ("refused", "require confirmation", "--yes"),
    "How do I get my objects out?": ("content get", "--recursive", "checksum", "a whole account"),
    "How do I script this?": ("RDCTL_CONTEXT", "--yes", "exit code", "-o name", "case $code"),
    "What does an exit code mean?": ("| 0 |", "| 10 |", "its outcome is unknown"),
    "What is an election, and what can I do without a master?": (
        *("replicas", "master", "slave", "quorum", "Election failed", "admin status", "admin ping"),
    ),
    "Are my objects whole, and how are they repaired?": (
        "content check",
        "content repair",
        "--deep",
    ),
    "How do I manage a machine over SSH?": ("ssh://", "context set", "rdctl has to be installed"),
    "How do I manage several machines?": ("-c 'rack1-*'", "contexts", "context set"),
    "How do I connect to my own servers?": ("context set", "rapiddisk=", "oio=", "context use"),
    "How do I take a command back?": ("undo", "refuses", "rdctl history"),
    "How many copies does an object have?": ("content locate", "copies", "survives the loss of"),
    "How do I upgrade or remove rdctl?": ("pipx", "apt", "boot disable", "unwritten data"),
    "How do I monitor this with Prometheus, Nagios or Icinga?": (
        *("rdctl metrics", "rdctl check", "#alert-with-prometheus", "#check-with-nagios-or-icinga"),
    ),
    "What is wrong with this machine?": ("rdctl doctor", "exit code"),
}


def section(document: str, anchor: str) -> str:
    """The text below the heading with that anchor."""
    parts = re.split(r"^(?=## )", (ROOT / document).read_text("utf-8"), flags=re.MULTILINE)
    (found,) = [part for part in parts if anchor_of(part.partition("\n")[0].lstrip("# ")) == anchor]
    return found.partition("\n")[2]


def test_it_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^    (\w.*?)(?:  .*)?$", README, re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    assert README.index("make demo") < README.index("\n## ")


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_it_names_every_document() -> None:
    """In one step, or in two for the pages of an index."""
    linked = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README)}
    assert [
        path.name for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in linked
    ] == []


QUESTIONS = dict(
    re.findall(r"^\| (\S.*\?) \| \[.*\]\((.*)\) \|$", without_fences(README), re.MULTILINE)
)


def test_every_question_has_its_answer() -> None:
    assert QUESTIONS.keys() == ANSWERS.keys()


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_answer_is_in_the_section_behind_the_link(question: str) -> None:
    document, _, anchor = QUESTIONS[question].partition("#")
    text = section(document, anchor)
    assert [words for words in ANSWERS[question] if words not in text] == []
