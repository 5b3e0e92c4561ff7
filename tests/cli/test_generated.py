"""The committed man pages and completions are those of this command tree, and are sound."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rdctl.cli.blocks import Lines, Section
from rdctl.cli.tree import root
from rdctl.completion.nodes import Node, parted, walk
from tests import generate
from tests.cli.test_help import ALL, RUN
from tests.conftest import Program

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = generate.files()
PAGES = [name for name in FILES if name.startswith("man/")]


def test_the_committed_files_are_up_to_date() -> None:
    assert generate.faults(ROOT) == [], "make generate"


SURROUNDINGS = {
    "bare": {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Pacific/Auckland", "COLUMNS": "40"},
    "rich": {
        "PYTHONHASHSEED": "2",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "de",
        "COLUMNS": "300",
        "HOME": "/somewhere/else",
        "XDG_CONFIG_HOME": "/other",
        "RDCTL_CONTEXT": "lab",
        "RDCTL_OUTPUT": "json",
        "NO_COLOR": "1",
        "SOURCE_DATE_EPOCH": "1",
    },
}


@pytest.mark.parametrize("around", SURROUNDINGS)
def test_a_fresh_process_makes_the_same(tmp_path: Path, around: str) -> None:
    """Whatever was imported or run before, in whatever locale, zone, terminal and home."""
    script = "import sys, pathlib; from tests.generate import write; write(pathlib.Path('.'))"
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        **SURROUNDINGS[around],
    }
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=environ)
    assert generate.faults(tmp_path) == []


def test_a_difference_is_found(tmp_path: Path) -> None:
    generate.write(tmp_path)
    (tmp_path / "man/rdctl.1").write_text("old")
    (tmp_path / "man/rdctl-config.5").unlink()
    (tmp_path / "man/rdctl-gone.1").touch()
    assert generate.faults(tmp_path) == [
        "man/rdctl-gone.1: nothing generates it",
        "man/rdctl.1: not up to date",
        "man/rdctl-config.5: missing",
    ]
    generate.write(tmp_path)
    assert generate.faults(tmp_path) == []


def test_the_program_prints_the_scripts_that_travel(rdctl: Program) -> None:
    assert rdctl("completion", "bash").out == FILES["completions/rdctl.bash"]
    assert rdctl("completion", "zsh", "--json").out == FILES["completions/_rdctl"]
    assert rdctl("completion", "fish").out == FILES["completions/rdctl.fish"]
    wrong = rdctl("completion", "tcsh")
    assert wrong.code == 2
    assert 'invalid value "tcsh" for SHELL: must be bash, fish or zsh' in wrong.err


def plain(page: str) -> str:
    """A page's text without roff's escapes."""
    text = re.sub(r"\\f[BIR]", "", page)
    for char, escape in generate.ESCAPES.items():
        text = text.replace(escape, char)
    return " ".join(text.replace("\\&", "").split())


@pytest.mark.parametrize("node", walk(root), ids=lambda node: node.path)
def test_every_command_is_in_a_page(node: Node) -> None:
    noun = node.path.split()[:2]
    name = "man/" + "-".join(noun) + ".1"
    text = plain(FILES[name] if name in FILES else FILES["man/rdctl.1"])
    _, nodes = parted(root)
    assert node.path in text
    if not node.children:
        assert f".SS {node.path} " in text
        assert " ".join((node.command.help or "").split()).replace("`", "") in text.replace(
            ".PP ", ""
        )
    for option in {n.path: own for n, own in nodes.items()}[node.path]:
        assert f".TP {', '.join(option.opts)}" in text
        assert option.help
        assert option.help in text


def test_the_main_page_has_what_is_common() -> None:
    text = plain(FILES["man/rdctl.1"])
    anywhere, _ = parted(root)
    for option in anywhere:
        assert f".TP {', '.join(option.opts)}" in text
    for heading in "SYNOPSIS DESCRIPTION OPTIONS EXAMPLES ENVIRONMENT FILES".split():
        assert f".SH {heading} " in text
    assert ".SH EXIT STATUS .TP 0 success" in text
    assert ".TP NO_COLOR" in text


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".1")])
def test_a_page_has_the_sections_that_are_looked_for(name: str) -> None:
    headings = re.findall(r"^\.SH (.*)$", FILES[name], re.MULTILINE)
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES"]
    found = [heading for heading in headings if heading in wanted]
    assert found == wanted
    assert headings[-1] == "SEE ALSO"
    assert "\nExamples:\n" in FILES[name]


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".1")])
def test_a_page_of_commands_names_that_of_the_concepts(name: str) -> None:
    see_also = FILES[name].partition(".SH SEE ALSO\n")[2]
    assert ".BR rdctl\\-concepts (7)" in see_also


def test_the_page_of_the_concepts_has_every_part_of_the_document() -> None:
    document = (ROOT / "docs/concepts.md").read_text("utf-8")
    parts = re.findall(r"^## (.*)$", document, re.MULTILINE)
    text = plain(FILES["man/rdctl-concepts.7"])
    assert len(parts) > 20
    assert [part for part in parts if f".SH {part.upper()} " not in text] == []


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_points_to_is_there(name: str) -> None:
    for page, number in re.findall(r"^\.BR (\S+) \((\d)\)", FILES[name], re.MULTILINE):
        assert f"man/{page}.{number}".replace("\\-", "-") in FILES


def test_the_examples_of_the_main_page_are_run_by_a_test() -> None:
    assert set(generate.EXAMPLES) <= set(RUN)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_clean(name: str, tmp_path: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc")
    page = tmp_path / Path(name).name
    page.write_text(FILES[name], "utf-8")
    lint = ["mandoc", "-Tlint", "-Wwarning", str(page)]
    done = subprocess.run(lint, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [80, 100])
def test_a_page_can_be_read(name: str, width: int) -> None:
    """With man-db's groff, and nothing of roff is left on the screen."""
    if shutil.which("man") is None:
        pytest.skip("no man")
    done = subprocess.run(
        ["man", "--warnings", f"./{name}"],
        check=False,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "MANWIDTH": str(width),
            "LC_ALL": "C.UTF-8",
            "MAN_KEEP_FORMATTING": "",
        },
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(Path(name).stem.upper())
    # A hyphen may part a word at the end of a line; else it is one that can be copied.
    text = done.stdout.replace("\u2010\n", "")
    assert re.findall("[\\\\\u2010-\u201f\u2212\u00b4]|^[.]\\w", text, re.MULTILINE) == []
    # What is typed stands on one line, so that it can be copied.
    examples = {*ALL, *generate.EXAMPLES}
    prose = [line for line in done.stdout.splitlines() if line.strip() not in examples]
    assert max(map(len, prose)) <= width


HARD = r"""it's a `code-word` with \n, a \\ and ~/x^2 -- "quoted" """


def test_text_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Everything that roff would take for its own, also at the start of a line."""
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc")
    lines = [".TH is no macro", "'br neither", HARD.strip(), "...", "-c x  y", "\\fB"]
    section = Section("Hard", [Lines(tuple(lines)), ".PP starts a paragraph"])
    page = tmp_path / "hard.7"
    page.write_text(generate.page("hard", 7, "text", generate.topic(section)))
    shown = subprocess.run(
        ["mandoc", "-Tutf8", "-Owidth=200", str(page)], check=True, capture_output=True, text=True
    ).stdout
    shown = re.sub(r".\x08", "", shown)
    for line in lines:
        assert f"{line}\n" in shown
    assert ".PP starts a paragraph" in shown
