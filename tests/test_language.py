"""The language of messages and help, as far as it can be checked: words of the field, fixed shapes.

`python -m tests.test_language` lists the faults of each file.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rdctl.cli.tree import root
from rdctl.completion.nodes import Node, walk

ROOT = Path(__file__).resolve().parent.parent

# What the simulated servers of OpenIO say is theirs.
THEIRS = "rdctl/sandbox/oio/"

BANNED = re.compile(
    r"\b(told|tells|said|say (?=--)|wanted|by then|no more|any more|once more|somebody|nobody"
    r"|anybody|half.made|there (is|are) (no|not|none)|is not there|takes? root|lets? go|go on|goes"
    r"|is none|anew|stands?|(is|are) no (?!longer)|so many|whoever|under way|beside"
    r"|no such option|not one of|is not a valid|see: rdctl|is about to"
    r"|all (of )?its contents|contents of (a )?container|pinned"
    r"|(maps|exports) it|has it open|lose it|list again|although this)(?!\w)",
    re.IGNORECASE,
)
# What a message may begin with besides a lower-case letter: names, abbreviations, and a text of
# click that rdctl.cli.usage_errors translates.
NAMES = re.compile(r"(Linux|Python|Ctrl|Got)\b|[A-Z][a-z]*[A-Z]|[A-Z]+\b")
IMPERATIVES = set(
    "Abort Add Append Cache Check Clear Compact Compare Copy Create Damage Deduplicate"
    " Delete Deregister Destroy Diagnose Disable Divide Do Download Empty Enable ERASE"
    " Explain Export Flush Get Insert Link List Load Lock Make Manage Move Notify Print Re-emit"
    " Reboot Recompute Register Release Reload Remove Rename Repair Replace Reset Resize"
    " Restore Save Select Send Serve Set Show Start Stop Truncate Undo Unlink Unlock Upload Wait"
    " Write".split()
)


class Text(NamedTuple):
    """A text that users see. A value in it reads {}."""

    kind: str
    text: str
    line: int


class Fault(NamedTuple):
    path: str
    line: int
    text: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.why}: {self.text}"


# --- the texts of a file ------------------------------------------------------------------------


def spelled(node: ast.AST | None) -> Iterator[str]:
    """The strings that an expression may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for left in list(spelled(node.left)) or ["{}"]:
            yield from (left + right for right in list(spelled(node.right)) or ["{}"])
    elif isinstance(node, ast.IfExp):
        yield from spelled(node.body)
        yield from spelled(node.orelse)


def of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    """The arguments of a call that have a shape, with their kinds."""
    for before, arg in zip(node.args, node.args[1:], strict=False):
        if ast.unparse(before).startswith("Code."):
            yield "message", arg
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if "hint" in keywords:
        yield "hint", keywords["hint"]
    if ast.unparse(node.func) == "hints":
        yield from (("hint", arg) for arg in node.args)


def texts(tree: ast.Module) -> Iterator[Text]:
    """Every string of two words or more, other than docstrings."""
    done: set[ast.AST] = set()
    for node in ast.walk(tree):
        shaped: list[tuple[str, ast.AST]] = []
        if isinstance(node, ast.Call):
            shaped = list(of_call(node))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name | ast.Attribute):
            target = node.targets[0]
            name = target.id if isinstance(target, ast.Name) else target.attr
            shaped = [(name, node.value)] if name in ("message", "hint") else []
        elif isinstance(node, ast.Expr):  # a docstring
            done.add(node.value)
        elif isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and node not in done:
            shaped = [("text", node)]
        for kind, value in shaped:
            done.update(ast.walk(value))
            for text in spelled(value):
                if " " in text.strip():
                    yield Text(kind, text, getattr(value, "lineno", 0))


# --- what is wrong with a text ------------------------------------------------------------------


def faults(text: Text) -> Iterator[str]:
    for match in BANNED.finditer(text.text):
        yield f'banned: "{match[0].strip()}"'
    first, *_ = text.text.strip().splitlines() or [""]
    if text.kind == "message":
        if text.text.endswith(".") and not text.text.endswith("..."):
            yield "a message ends without a full stop"
        if first[:1].isupper() and not NAMES.match(first):
            yield "a message begins with a lower-case letter"
    elif text.kind == "hint" and (first[:1].islower() or first.startswith("--")):
        yield "a hint is a sentence"
    elif text.kind == "help":
        if len(first) > 60:
            yield "a first line has at most 60 characters"
        if first.split(" ")[0] not in IMPERATIVES or not first.endswith("."):
            yield "a first line is an imperative with a full stop"
    if "'{}'" in text.text and not text.text.startswith("Missing"):
        yield "names stand in double quotes"


def found() -> list[Fault]:
    all_of_them = []
    for file in sorted((ROOT / "rdctl").rglob("*.py")):
        path = str(file.relative_to(ROOT))
        seen = set(texts(ast.parse(file.read_text("utf-8"), path)))
        all_of_them += [
            Fault(path, text.line, text.text, why) for text in seen for why in faults(text)
        ]
    return sorted(all_of_them)


def test_messages() -> None:
    if left := [str(fault) for fault in found() if not fault.path.startswith(THEIRS)]:
        pytest.fail("\n".join(left), pytrace=False)


@pytest.mark.parametrize("node", walk(root), ids=lambda node: node.path)
def test_help(node: Node) -> None:
    assert list(faults(Text("help", str(node.command.help), 1))) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("message", "Volume rd9 not found"),
        ("message", "volume rd9 not found."),
        ("message", "there is no volume rd9"),
        ("message", "'{}' must be a number"),
        ("text", "the usage is not known: asking takes root"),
        ("hint", "see them with: rdctl rapiddisk list"),
        ("hint", "--overwrite replaces it."),
        ("message", "all its contents are deleted"),
        ("help", "The daemon and its version."),
        ("help", "Show " + "x" * 60 + "."),
        ("text", "Go on although nothing can be seen."),
        ("message", "No such option '--x'"),
        ("hint", "See: rdctl rapiddisk --help"),
        ("text", "rc-wt_sda maps it"),
        ("hint", "It was removed meanwhile. List again."),
    ],
)
def test_a_fault_is_found(kind: str, text: str) -> None:
    assert list(faults(Text(kind, text, 1)))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("message", 'volume "rd9" not found'),
        ("message", "PATH must not be empty"),
        ("message", "{} is no longer mounted"),
        ("hint", "List the volumes: rdctl rapiddisk list"),
        ("help", "Create volumes.\n\nSIZE is a whole number of MiB."),
        ("text", "Skip confirmation prompts."),
    ],
)
def test_a_good_text_is_none(kind: str, text: str) -> None:
    assert list(faults(Text(kind, text, 1))) == []


if __name__ == "__main__":
    everything = found()
    if len(sys.argv) > 1:
        everything = [fault for fault in everything if fault.path.startswith(sys.argv[1])]
        print(*everything, sep="\n")
    for path, count in sorted(Counter(fault.path for fault in everything).items()):
        print(f"{count:4} {path}")
