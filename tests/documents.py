"""The commands of a document, and a reader who types them, one after the other, in a new sandbox.

A fenced block is, by the first word behind its fence:

    console     lines that begin with `$ ` are commands, `> ` continues one; below is their output
    sh, bash    commands whose output is not shown, and that ask nothing
    any other   not typed

A second word names a file that the reader writes, a script or another one: ```toml state.toml

Each command has to exit with 0, unless `$ echo $?` follows it and shows the code. In the output,
`...` stands for what differs from run to run: inside a line for some characters, as a whole line
for some lines. What is typed at a prompt is shown behind `[y/N] `.

What comes before the first section is typed before each section. `python -m tests.documents FILE`
runs a document and writes the real output where the shown one is wrong; look at the difference.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rdctl.sandbox import OIO_HOST, RAPIDDISK_HOST, apps, rapiddisk_app
from tests.conftest import Program
from tests.fakes.served import serving
from tests.ssh.server import serving as over_ssh

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

ROOT = Path(__file__).resolve().parent.parent
TYPED = ("console", "sh", "bash")
# Documents whose sections go on where the one before ended.
CONTINUED = ("docs/tutorial.md",)
# Machines that documents name, by address. Each has a sandbox of its own, served over HTTP; its
# addresses are replaced by the real ones in commands, and put back in what they print.
RACK = ("http://rack1-a:9118", "http://rack1-b:9118")
LAB = {RAPIDDISK_HOST: "http://lab:9118", OIO_HOST: "http://lab:6002"}
# Those that are reached over SSH: one server, and a sandbox for each.
NODES = ("node7", "node8")

_FENCE = re.compile(r"^```(\w*)(?: ([\w./-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"'[^']*'|\"[^\"$`\\]*\"")
_FOR_A_SHELL = re.compile(r"[|&;<>$`*?~#(){}\[\]!\\]")
_EXPORT = re.compile(r"export (\w+)=([\w./-]+)")
_ANSWER = re.compile(r"\[y/N\] (\w+)$", re.MULTILINE)
_CONTROL = re.compile(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)")
# Written as `...`: times, durations, versions, and IDs of commands, containers, objects and chunks.
_VARIES = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*Z?|\b[0-9A-F]{64}\b"
    r"|(?<=Object ID     )\w{32}|(?<=content_id\": \")\w{32}|\b1[78]\d{14}\b"
    r"|(?<= in )\d+\.\d(?= s)|(?<=undoing )[0-9a-f]{8}|(?<=undone by )[0-9a-f]{8}"
    r"|(?<=undoes )[0-9a-f]{8}|(?<=  )[0-9a-f]{8}(?=  )"
)


class Step(NamedTuple):
    """A command, and the output that the document shows; None if it shows none."""

    command: str
    shown: str | None


class Block(NamedTuple):
    """A fenced block. `before` is the paragraph above, `start` and `end` are those of its text."""

    kind: str
    file: str | None
    text: str
    before: str
    start: int
    end: int

    @property
    def typed(self) -> bool:
        return self.kind in TYPED and not self.file

    @property
    def steps(self) -> list[Step]:
        if self.kind == "console":
            return list(_of_console(self.text))
        lines = self.text.replace("\\\n", "").splitlines()
        if all(_is_simple(line) or _EXPORT.fullmatch(line) for line in lines):
            return [Step(line, None) for line in lines]
        return [Step(self.text, None)]


class Section(NamedTuple):
    title: str
    blocks: list[Block]


def sections(text: str, *, continued: bool = False) -> list[Section]:
    """Those of a document that have something to type, after the blocks of the introduction."""
    found: list[Section] = []
    starts = [match.start() for match in re.finditer(r"^## ", text, re.MULTILINE)]
    opening = list(_blocks(text, 0, starts[0] if starts else len(text)))
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        blocks = list(_blocks(text, start, end))
        if any(block.typed for block in blocks):
            title = text[start + 3 :].partition("\n")[0]
            found.append(Section(title, blocks if found and continued else [*opening, *blocks]))
    return found


def typed_in(parts: list[Section]) -> str:
    return "\n".join(block.text for part in parts for block in part.blocks)


def _blocks(text: str, start: int, end: int) -> Iterator[Block]:
    for match in _FENCE.finditer(text, start, end):
        before = text[start : match.start()].strip().rpartition("\n\n")[2]
        yield Block(match[1], match[2], match[3], before, match.start(3), match.end(3))


def _of_console(text: str) -> Iterator[Step]:
    assert text.startswith("$ "), text
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        lines = output.splitlines()
        while lines and lines[0].startswith("> "):
            command += "\n" + lines.pop(0)[2:]
        yield Step(command, "\n".join(lines))


def _is_simple(command: str) -> bool:
    """Whether no shell is needed."""
    return command.startswith("rdctl ") and not _FOR_A_SHELL.search(_QUOTED.sub("", command))


def matches(shown: str, real: str) -> bool:
    """Whether the real output is what a document shows."""
    pattern = ""
    for line in shown.rstrip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, line.rstrip().split("..."))) + r"\n"
    return re.fullmatch(pattern, real and real + "\n") is not None


class Typed(NamedTuple):
    code: int
    output: str


class Fault(NamedTuple):
    """A command that failed (`code` is not 0), or printed something else than is shown."""

    step: Step
    code: int
    real: str

    def __str__(self) -> str:
        if self.code:
            return f"$ {self.step.command}\n{self.real}\nexit code {self.code}"
        return f"$ {self.step.command}\n{self.real}\n--- in the document:\n{self.step.shown}"


class Reader:
    """Types what a document shows, at a terminal of 100 columns."""

    def __init__(self, home: Path, machines: Mapping[str, str]) -> None:
        self.program = Program(home)
        random.seed(1)  # which services the sandbox chooses
        # Its clock only runs while it sleeps: nothing takes so long that progress is shown.
        self.program.clock = lambda: sum(self.program.slept)
        self.machines = machines
        self.exported = {"NO_COLOR": "1"}
        self.agrees = False  # to whatever is asked, also if that is not shown
        self.code = 0
        (home / "bin").mkdir()
        wrapper = home / "bin" / "rdctl"
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rdctl "$@"\n')
        wrapper.chmod(0o755)
        self.work = home / "work"
        (self.work / "holiday").mkdir(parents=True)
        (self.work / "holiday" / "a file").write_text("hello")

    def follows(self, block: Block) -> Iterator[Step | Fault]:
        """Does what a block shows: each step, or what is wrong with it."""
        if block.file:
            self._writes(block.file, block.text)
        if not block.typed:
            return
        steps = block.steps
        for step, after in zip(steps, [*steps[1:], None], strict=True):
            code, output = self.types(step)
            if code and not (after and after.command == "echo $?"):
                yield Fault(step, code, output)
            elif step.shown is not None and not matches(step.shown, output):
                yield Fault(step, 0, output)
            else:
                yield step

    def _writes(self, name: str, text: str) -> None:
        file = self.work / name
        file.write_text(text)
        if text.startswith("#!"):
            file.chmod(0o755)

    def types(self, step: Step) -> Typed:
        command = step.command
        for named, real in self.machines.items():
            command = command.replace(named, real)
        if command == "echo $?":
            return Typed(0, str(self.code))
        if exported := _EXPORT.fullmatch(command):
            self.exported[exported[1]] = exported[2]
            return Typed(0, "")
        answers = ["y"] * 9 if self.agrees else _ANSWER.findall(step.shown or "")
        if _is_simple(command):
            self.code, output = self._in_process(command, answers)
        else:
            self.code, output = self._in_shell(command)
        for named, real in self.machines.items():
            output = output.replace(real, named)
        for answer in answers:
            output = re.sub(r"\[y/N\] (?!\w*\n)", f"[y/N] {answer}\n", output, count=1)
        return Typed(self.code, as_seen(output))

    def _in_process(self, command: str, answers: list[str]) -> tuple[int, str]:
        with chdir(self.work):
            ran = self.program(
                *shlex.split(command)[1:],
                env=self.exported,
                tty=True,
                stdin="".join(f"{answer}\n" for answer in answers).encode(),
                width=100,
                joined=True,
            )
        return ran.code, ran.out

    def _in_shell(self, command: str) -> tuple[int, str]:
        home = self.program.home
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            check=False,
            cwd=self.work,
            env={
                "PATH": f"{home}/bin:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "HOME": str(home),
                "RDCTL_CONFIG": str(self.program.config),
                "RDCTL_SANDBOX": str(self.program.sandbox),
                **self.exported,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout.decode("utf-8", "surrogateescape")


def as_seen(output: str) -> str:
    """What is on the screen at the end, without bars of progress and other erased lines."""
    lines = [""]
    back = False  # at the beginning of a line that has text, which is overwritten
    for piece in _CONTROL.split(output):
        if piece == "\n":
            lines.append("")
        elif piece == "\x1b[1A":
            lines.pop()
        elif piece == "\x1b[2K":
            lines[-1] = ""
        elif piece and piece[0] not in "\r\x1b":
            lines[-1] = piece if back else lines[-1] + piece
        if piece:
            back = piece == "\r"
    return "\n".join(map(str.rstrip, lines)).strip("\n")


@contextmanager
def reading(home: Path, text: str, typed: str | None = None) -> Iterator[Reader]:
    """A reader, and the machines that a text names; over SSH, those of the part that is typed."""
    served: dict[str, WSGIApplication] = {}
    for number, machine in enumerate(machine for machine in RACK if machine in text):
        served[machine] = rapiddisk_app(home / f"rack-{number}.db")
    # Where the services of OpenIO are, by the address that they have there.
    real: dict[str, str] = {}
    if "http://lab:" in text:
        of_lab = apps(home / "lab.db", real)
        served |= {LAB.get(host, host): app for host, app in of_lab.items()}
    with ExitStack() as stack:
        urls = stack.enter_context(serving(*served.values())) if served else []
        addresses = {
            # A service is known by its address without a scheme.
            name: url if name.startswith("http") else url.split("//")[1]
            for name, url in zip(served, urls, strict=True)
        }
        real.update(addresses)
        reader = Reader(home, addresses)
        if nodes := [node for node in NODES if f"@{node}" in (typed or text)]:
            server = stack.enter_context(over_ssh(home / "ssh"))
            server.behind(*nodes)
            reader.exported["PATH"] = f"{home}/bin:{server.bin}:{os.environ['PATH']}"
        yield reader


def renewed(text: str, *, continued: bool) -> tuple[str, list[Fault]]:
    """A document with the real output, and the commands that failed."""
    changes: dict[tuple[int, int], str] = {}
    failed: list[Fault] = []
    with ExitStack() as stack:
        for section in sections(text, continued=continued):
            if not (changes and continued):
                home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                reader = stack.enter_context(reading(home, text, typed_in([section])))
                reader.agrees = True
            for block in section.blocks:
                found = list(reader.follows(block))
                failed += [one for one in found if isinstance(one, Fault) and one.code]
                if block.typed and block.kind == "console":
                    changes[block.start, block.end] = "".join(map(_as_written, found))
    for (start, end), new in sorted(changes.items(), reverse=True):
        text = text[:start] + new + text[end:]
    return text, failed


def _as_written(found: Step | Fault) -> str:
    step = found.step if isinstance(found, Fault) else found
    output = _VARIES.sub("...", found.real) if isinstance(found, Fault) else step.shown or ""
    command = step.command.replace("\n", "\n> ")
    return f"$ {command}\n" + (f"{output}\n" if output else "")


def main() -> int:
    code = 0
    for name in sys.argv[1:]:
        file = ROOT / name
        text, failed = renewed(file.read_text("utf-8"), continued=name in CONTINUED)
        file.write_text(text, "utf-8")
        for fault in failed:
            print(f"{name}: {fault}")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
