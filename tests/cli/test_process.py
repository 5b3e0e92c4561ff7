"""Real processes: pipes that break, signals, a terminal, what a start imports."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pexpect
import pytest

from tests.cli.processes import SECONDS, Rdctl, process, wait_until
from tests.cli.replies import counters, inventory, resources, success, targets
from tests.fakes.faults import Behaviour, Connection, FaultServer, silent
from tests.fakes.sds import Sds

__all__ = ["process"]

LIST = ("-c", "sandbox", "rapiddisk", "list")
DEVICES = [f"rd{number}" for number in range(5000)]


# Streams -----------------------------------------------------------------------------------------


def closed_pipe() -> int:
    """A pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("format", ["table", "json", "csv"])
def test_head(process: Rdctl, format: str) -> None:
    with FaultServer([inventory(DEVICES)]) as server:
        code, out, err = process.shell(
            'set -o pipefail; "$@" | head -1',
            *("--rapiddisk-url", server.url, "rapiddisk", "list", "-o", format),
        )
    assert (code, err) == (141, "")
    assert out.count("\n") == 1


def unblocked(descriptor: int) -> int:
    """The end of a pipe as Node.js and some terminals leave it: it never waits."""
    os.set_blocking(descriptor, False)
    return descriptor


def held(pipe: int) -> int:
    """How many bytes are in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def all_of(pipe: int) -> bytes:
    """What comes from a pipe whose reader begins when it is full."""
    wait_until(lambda: held(pipe) > 60_000)
    with open(pipe, "rb") as reader:
        return reader.read()


@pytest.mark.parametrize("format", ["table", "json", "csv", "ndjson"])
@pytest.mark.parametrize("env", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_stdout_that_never_waits_gets_everything(
    process: Rdctl, format: str, env: dict[str, str]
) -> None:
    with FaultServer([inventory(DEVICES)] * 2) as server:
        words = ("--rapiddisk-url", server.url, "rapiddisk", "list", "-o", format)
        _, whole, _ = process(*words)
        reader, writer = os.pipe()
        with process.start(*words, stdout=unblocked(writer), env=env) as slow:
            os.close(writer)
            out = all_of(reader)
            assert slow.stderr is not None
            assert (slow.stderr.read(), slow.wait(SECONDS)) == (b"", 0)
    assert out.decode() == whole


def test_a_stderr_that_never_waits_gets_everything(process: Rdctl) -> None:
    names = [f"{number:0>200}" for number in range(500)]
    words = ("-c", "sandbox", "oio", "container", "create", "-", "--trace", "-q")
    reader, writer = os.pipe()
    with process.start(*words, stderr=unblocked(writer)) as slow:
        os.close(writer)
        assert slow.stdin is not None
        slow.stdin.write("\n".join(names).encode())
        slow.stdin.close()
        err = all_of(reader).decode()
    assert [name for name in names if name not in err] == []


@pytest.mark.parametrize(
    ("words", "parts", "shown"),
    [
        (
            "container create - -o name",
            [b"a\nphotos-of-", b"2024\nb", b"\n"],
            b"a\nphotos-of-2024\nb\n",
        ),
        (
            "content spare photos index.txt --policy SINGLE --body - --query length(@)",
            [
                b'{"notin": [], "broken": [{"url": "http://127.0.0.1:16013/',
                b'AB", "pos": "0",',
                b'"size": 1, "hash": "AB"}]}',
            ],
            b"1\n",
        ),
    ],
)
def test_a_stdin_that_never_waits_is_read_to_its_end(
    process: Rdctl, words: str, parts: list[bytes], shown: bytes
) -> None:
    reader, writer = os.pipe()
    argv = ("-c", "sandbox", "oio", *words.split())
    with process.start(*argv, stdin=unblocked(reader)) as slow:
        for part in parts:
            os.write(writer, part)
            wait_until(lambda: held(reader) == 0)
        os.close(writer)
        assert slow.stdout is not None
        assert slow.stdout.read() == shown
    os.close(reader)


def test_who_waits_for_a_reader_can_be_interrupted(process: Rdctl) -> None:
    with FaultServer([inventory(DEVICES)]) as server:
        words = ("--rapiddisk-url", server.url, "rapiddisk", "list", "--json")
        reader, writer = os.pipe()
        with process.start(*words, stdout=unblocked(writer)) as slow:
            os.close(writer)
            wait_until(lambda: held(reader) > 60_000)
            slow.send_signal(signal.SIGINT)
            with open(reader, "rb") as rest:
                rest.read()
            assert slow.wait(SECONDS) == 130


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (LIST, 141),
        (("--help",), 141),
        (("--version",), 141),
        (("-c", "sandbox", "rapiddisk", "create", "1M", "-q", "--json"), 0),
        (("-c", "sandbox", "rapiddisk", "show", "rd9", "-q", "--json"), 3),
    ],
)
def test_the_reader_left(process: Rdctl, words: Sequence[str], code: int) -> None:
    writer = closed_pipe()
    done, _, err = process(*words, stdout=writer)
    os.close(writer)
    assert done == code
    assert "Exception" not in err
    assert ("rdctl:" in err) == (code == 3)


@pytest.mark.parametrize("words", [LIST, (*LIST, "--json"), ("--help",), ("--version",)])
def test_a_full_disk(process: Rdctl, words: Sequence[str]) -> None:
    with open("/dev/full", "wb") as full:
        code, _, err = process(*words, stdout=full)
    assert code == 1
    assert err == (
        ""
        if words == ("--version",)
        else "rdctl: error: the output cannot be written: No space left on device\n"
    )


@pytest.mark.parametrize(
    ("words", "closing"),
    [
        *((LIST, closing) for closing in (">&-", "2>&-", "<&-", "<&- >&- 2>&-", ">&- 2>/dev/full")),
        (("--version",), ">&-"),
        (("--help",), ">&-"),
    ],
)
def test_streams_that_the_caller_closed(process: Rdctl, words: Sequence[str], closing: str) -> None:
    code, out, err = process.shell(f'"$@" {closing}', *words)
    assert (code, err) == (0, "")
    assert (out == "") == (">&-" in closing.replace("2>&-", ""))


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_an_error_that_nobody_reads_keeps_its_code(process: Rdctl, where: str) -> None:
    words = ("-c", "sandbox", "rapiddisk", "show", "rd9", "--trace")
    assert process.shell(f'"$@" {where}', *words)[0] == 3


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_names_in_any_locale(process: Rdctl, locale: str) -> None:
    """Bytes go in and come out as they are."""
    words = ("-c", "sandbox", "rapiddisk", "show", "--json", b"caf\xc3\xa9\xff")
    code, out, err = process(*words, env={"LC_ALL": locale})
    assert code == 2
    assert json.loads(out)["error"]["target"] == "café\udcff"
    assert "invalid volume name" in err


@pytest.fixture(scope="session")
def latin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale of 8 bits, in which Python takes every byte for a character of its own."""
    directory = tmp_path_factory.mktemp("locales")
    name = "de_DE.ISO-8859-1"
    made = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(directory / name)]
    env = {"LOCPATH": str(directory), "LC_ALL": name}
    ask = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    if shutil.which("localedef") is not None:
        subprocess.run(made, capture_output=True, check=False)
    if b"8859" not in subprocess.run(ask, env=env, capture_output=True, check=True).stdout:
        pytest.skip("no locale of 8 bits can be made here")
    return env


@pytest.mark.parametrize("python", [(), ("-B", "-W", "ignore")])
def test_names_are_their_bytes_in_a_locale_of_8_bits(
    process: Rdctl, latin: dict[str, str], tmp_path: Path, python: tuple[str, ...]
) -> None:
    process.argv = (sys.executable, *python, "-m", "rdctl")
    name = "größe\udcff.txt"
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / name).write_bytes(b"data")
    with Sds() as sds:
        where = (
            "--oio-url",
            sds.url,
            "--namespace",
            "OPENIO",
            "--account",
            "ACCT",
            "oio",
            "content",
        )
        put = (*where, "put", "docs", str(tmp_path / "tree"), "--recursive")
        code, out, err = process(*put, env=latin)
        assert (code, err) == (0, "")
        assert out.startswith("uploaded größe\\xff.txt (4 bytes, ")
        assert list(sds.objects) == [name]
        get = (*where, "get", "docs", os.fsencode(name), "--to", "-")
        assert process(*get, env=latin) == (0, "data", "")
        got = (*where, "get", "docs", os.fsencode(name), "--to", str(tmp_path / "got") + "/")
        assert process(*got, env=latin)[0] == 0
    assert os.listdir(tmp_path / "got") == [name]


# Signals -----------------------------------------------------------------------------------------

Stopped = tuple[int, str, str]


def stopped(
    process: Rdctl, script: Sequence[Behaviour], number: int, *words: str, before: str = ""
) -> Stopped:
    """A command that gets a signal once it waits for the last answer of the script."""
    with FaultServer(script) as server:
        argv = [*process.argv, "--rapiddisk-url", server.url, "rapiddisk", *words]
        running = subprocess.Popen(
            ["bash", "-c", f'{before} exec "$@"', "bash", *argv],
            env=process.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        wait_until(lambda: len(server.requests) == len(script) or running.poll() is not None)
        running.send_signal(number)
        out, err = running.communicate(timeout=SECONDS)
    return running.returncode, out.decode(), err.decode()


ENDS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "hang-up"),
]
every_signal = pytest.mark.parametrize(("number", "code", "word"), ENDS)


@every_signal
def test_while_a_server_is_silent(process: Rdctl, number: int, code: int, word: str) -> None:
    done, out, err = stopped(process, [silent()], number, "list", "--json")
    assert (done, err) == (code, f"rdctl: error: {word}; nothing was changed\n")
    assert json.loads(out)["error"]["code"] == word


@every_signal
def test_in_the_middle_of_a_listing(process: Rdctl, number: int, code: int, word: str) -> None:
    script = [inventory(caches=["rc-wt_sda", "rc-wt_sdb"]), counters("rc-wt_sda"), silent()]
    done, out, _ = stopped(process, script, number, "cache", "stats", "--json")
    document = json.loads(out)
    assert done == code
    assert [row["device"] for row in document["items"]] == ["rc-wt_sda"]
    assert document["complete"] is False
    assert document["error"]["code"] == word


def test_in_the_middle_of_a_change(process: Rdctl) -> None:
    """A single one is not waited for."""
    script = [inventory(["rd0"]), targets(), silent()]
    done, out, err = stopped(process, script, signal.SIGINT, "remove", "rd0", "--yes")
    assert (done, out) == (130, "")
    assert err == (
        "rdctl: error: interrupted; in progress, outcome unknown: remove rd0\n"
        "hint: Check the outcome before repeating the command.\n"
    )


@every_signal
def test_in_the_middle_of_several_changes(
    process: Rdctl, number: int, code: int, word: str
) -> None:
    """What is under way is waited for, and when its reply is lost nobody says that nothing was."""
    signaled = threading.Event()

    def lost(connection: Connection) -> None:
        connection.receive()
        signaled.wait(SECONDS)

    with FaultServer([inventory(["rd0", "rd1"]), lost]) as server:
        running = process.start("--rapiddisk-url", server.url, "rapiddisk", "lock", "rd0", "rd1")
        wait_until(lambda: len(server.requests) == 2 or running.poll() is not None)
        running.send_signal(number)
        assert running.stderr is not None
        first = running.stderr.readline().decode()
        signaled.set()
        done, err = running.wait(SECONDS), first + running.communicate()[1].decode()
    assert done == code
    assert first.startswith("Interrupted: finishing operations in progress.")
    assert "lock rd0: sent, but" in err
    assert err.splitlines()[-2:] == [
        f"rdctl: error: {word}; outcome unknown: lock rd0",
        "hint: Check the outcome before repeating the command.",
    ]


STUMBLING = """
import atexit, sys
from rdctl.__main__ import main

class Half:
    def __del__(self):
        raise AttributeError("fp")

atexit.register(Half)
sys.argv[1:] = ["--version"]
main()
"""


@pytest.mark.parametrize(("debug", "said"), [("", False), ("1", True)])
def test_what_was_half_made_when_it_ended_makes_no_noise(
    process: Rdctl, debug: str, said: bool
) -> None:
    """A signal may come while a library makes something, whose end then stumbles."""
    done = subprocess.run(
        [sys.executable, "-c", STUMBLING],
        env={**process.env, "RDCTL_DEBUG": debug},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0
    assert (b"AttributeError: fp" in done.stderr, done.stderr != b"") == (said, said)


def test_nohup(process: Rdctl) -> None:
    """Who ignores the hang-up before us goes on ignoring it: only the second signal ends this."""
    with FaultServer([silent()]) as server:
        words = ("--rapiddisk-url", server.url, "rapiddisk", "list")
        running = subprocess.Popen(
            ["bash", "-c", 'trap "" HUP; exec "$@"', "bash", *process.argv, *words],
            env=process.env,
            stderr=subprocess.PIPE,
        )
        wait_until(lambda: server.requests)
        running.send_signal(signal.SIGHUP)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=SECONDS)
    assert running.returncode == 130
    assert err.startswith(b"rdctl: error: interrupted")


def test_a_change_goes_on_when_its_reader_left(process: Rdctl) -> None:
    script = [inventory([]), resources(), success(), success(), inventory(["rd0", "rd1"])]
    writer = closed_pipe()
    with FaultServer(script) as server:
        words = ("--rapiddisk-url", server.url, "rapiddisk", "create", "64M", "--count", "2")
        done = process(*words, "--trace", stdout=writer, stderr=writer)
        sent = [request.method for request in server.requests]
    os.close(writer)
    assert done == (0, "", "")
    assert sent == ["GET", "GET", "POST", "POST", "GET"]


# A terminal --------------------------------------------------------------------------------------

Terminal = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def at_terminal(process: Rdctl) -> Terminal:
    def spawn(*words: str, width: int = 80, **env: str) -> pexpect.spawn[str]:
        return pexpect.spawn(
            process.argv[0],
            [*process.argv[1:], "-c", "sandbox", *words],
            env={**process.env, "TERM": "xterm", **env},
            dimensions=(24, width),
            timeout=int(SECONDS),
            encoding="utf-8",
        )

    return spawn


def ended(child: pexpect.spawn[str]) -> tuple[int, str]:
    """Exit code, and what was shown since the last thing that was waited for."""
    child.expect(pexpect.EOF)
    shown = str(child.before)
    child.close()
    return int(child.exitstatus or 0), shown.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("answer", "code", "shown"),
    [
        ("y\r", 0, "removed rd1"),
        ("\r", 1, "Aborted."),
        ("\x04", 1, "Aborted."),
        ("\x03", 130, "rdctl: error: interrupted; nothing was changed"),
    ],
)
def test_the_prompt(
    process: Rdctl, at_terminal: Terminal, answer: str, code: int, shown: str
) -> None:
    process("-c", "sandbox", "rapiddisk", "create", "1M")
    child = at_terminal("rapiddisk", "remove", "rd1")
    child.expect_exact("Continue? [y/N] ")
    child.send(answer)
    done, rest = ended(child)
    assert done == code
    assert f"\n{shown}" in rest


def test_no_prompt_where_standard_input_is_no_terminal(
    process: Rdctl, at_terminal: Terminal
) -> None:
    script = '"$@" -c sandbox rapiddisk create 1M; "$@" -c sandbox rapiddisk remove rd1 </dev/null'
    child = pexpect.spawn(
        "bash",
        ["-c", script, "bash", *process.argv],
        env=process.env,
        timeout=int(SECONDS),
        encoding="utf-8",
    )
    code, shown = ended(child)
    assert code == 2
    assert "is not a terminal" in shown


@pytest.mark.parametrize(
    ("env", "widest"),
    [
        ({}, 40),
        ({"COLUMNS": "20"}, 20),
        ({"COLUMNS": ""}, 40),
        ({"COLUMNS": "-3"}, 40),
        ({"COLUMNS": "wide"}, 80),
    ],
)
def test_a_table_is_as_wide_as_the_terminal(
    at_terminal: Terminal, env: dict[str, str], widest: int
) -> None:
    words = ("rapiddisk", "nvmet", "list", "--columns", "nqn,namespace,device,enabled,hosts")
    child = at_terminal(*words, width=40, NO_COLOR="1", **env)
    code, shown = ended(child)
    assert code == 0
    assert max(map(len, shown.splitlines())) == widest


def test_colors_and_sizes_for_people(at_terminal: Terminal) -> None:
    assert "\x1b[1mDEVICE\x1b[0m" in ended(at_terminal("rapiddisk", "list"))[1]
    shown = ended(at_terminal("rapiddisk", "list", TERM="dumb"))[1]
    assert shown == (
        "DEVICE      SIZE     USAGE  LOCKED  USED BY\n"
        "rd0     32.0 MiB  16.0 KiB  no      export sandbox-rd0\n"
    )


# The start ---------------------------------------------------------------------------------------


def imported(process: Rdctl, *words: str) -> set[str]:
    """The modules that a run imports, beyond those of every start in this environment."""

    def loaded(*argv: str) -> set[str]:
        whole = [sys.executable, "-X", "importtime", *argv]
        done = subprocess.run(
            whole, env=process.env, capture_output=True, check=True, timeout=SECONDS
        )
        lines = done.stderr.decode().splitlines()
        return {line.rsplit("|", 1)[1].strip() for line in lines if line.startswith("import time:")}

    return loaded("-m", "rdctl", *words) - loaded("-c", "pass")


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        ("--version", "click typing re enum json"),
        ("--help", "requests rich tabulate sqlite3 yaml jmespath tomllib http.client ssl"),
        ("rapiddisk --help", "requests rich tabulate sqlite3 yaml jmespath tomllib http.client"),
        ("rapiddisk list --help", "requests rich tabulate sqlite3 yaml jmespath tomllib ssl"),
        ("context list", "requests rich tabulate sqlite3 yaml jmespath http.client ssl"),
        (
            "-c sandbox rapiddisk list --json",
            "requests urllib3 http.client ssl rich tabulate yaml jmespath wsgiref",
        ),
        (
            "-c sandbox rapiddisk list",
            "requests urllib3 http.client ssl rich tabulate yaml jmespath wsgiref",
        ),
        (
            "-c sandbox oio container list",
            "requests urllib3 http.client ssl rich tabulate yaml jmespath importlib.metadata",
        ),
    ],
)
def test_a_start_imports_only_what_it_needs(process: Rdctl, words: str, heavy: str) -> None:
    loaded = imported(process, *words.split())
    assert loaded.isdisjoint(heavy.split())


def test_version(process: Rdctl) -> None:
    code, out, err = process("--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"rdctl \d+\.\d+\.\d+(rc\d+)?\n", out)
    assert process("-c", "sandbox", "--version")[1] == out
