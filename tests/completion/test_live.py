"""Live names as people meet them: in the shells at a prompt, and the time that they take."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from rdctl.cli.tree import root
from rdctl.completion.fish import fish_script
from tests.cli.processes import SECONDS
from tests.clock import Stopwatch
from tests.completion.shells import SHELLS, FishPrompt, Prompt, prompt_of
from tests.conftest import Program
from tests.fakes.faults import Behaviour, FaultServer, drip_body, half_body, http_error, silent

ROOT = Path(__file__).resolve().parent.parent.parent
CREATE = ("-c", "sandbox", "oio", "container", "create", "-q", "--")
SHOW = "rdctl -c sandbox oio container show "
MODULE = (sys.executable, "-m", "rdctl")

CONFIG = """
[contexts.lab]
rapiddisk = "http://127.0.0.1:1"
oio = "http://127.0.0.1:1"
namespace = "OPENIO"
account = "a"
"""


class Home:
    """A home with a sandbox that holds what is hard to type, and rdctl on the PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = Program(directory)
        self.program.config.write_text(CONFIG)
        names = ["my photos", "my plans", 'it\'s "x"', "a:b:c", "a:b:d e", "d$HOME", "-dash"]
        names += ["bang!bang", "umläut", "#hash", "new\nline", "back\\slash", "k=v"]
        assert self.program(*CREATE, *names).code == 0
        self.environ = {
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "HOME": str(directory),
            "RDCTL_CONFIG": str(self.program.config),
            "RDCTL_SANDBOX": str(self.program.sandbox),
            "RDCTL_HISTORY": str(self.program.home / "history.ndjson"),
            "LC_ALL": "C.UTF-8",
        }
        command = shlex.join(["env", f"PYTHONPATH={ROOT}", *MODULE])
        program = directory / "bin" / "rdctl"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho >> {directory}/runs\nexec {command} "$@"\n')
        program.chmod(0o755)

    @property
    def runs(self) -> int:
        """How often rdctl was started."""
        runs = self.directory / "runs"
        return len(runs.read_text().splitlines()) if runs.exists() else 0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module", params=SHELLS)
def prompt(request: pytest.FixtureRequest, home: Home) -> Iterator[Prompt]:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param}")
    shell = prompt_of(request.param, home.directory, home.environ)
    yield shell
    shell.close()


def completed(prompt: Prompt, line: str, expected: str, *, blanks: bool = True) -> None:
    """A busy machine may have been too slow for an answer, and that is kept for some seconds."""

    def after() -> str:
        text = prompt(line)[0]
        return text if blanks else " ".join(text.split())

    for _ in range(3):
        if after() == expected:
            return
        shutil.rmtree(Path(prompt.home) / ".cache", ignore_errors=True)
    assert after() == expected


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("my", "my\\ p"),
        ("my\\ ph", "my\\ photos "),
        ("'my ph", "'my photos' "),
        ("'it", "'it'\\''s \"x\"' "),
        ('"it', '"it\'s \\"x\\"" '),
        ("a:", "a:b:"),
        ('"a:b:d', '"a:b:d e" '),
        ("d", "d\\$HOME "),
        ("k=", "k=v "),
        ("bang", "bang\\!bang "),
        ("'bang", "'bang!bang' "),
        ("\\#", "\\#hash "),
        ("-- -d", "-- -dash "),
        ("umläut um", "umläut um"),
    ],
)
def test_containers(prompt: Prompt, typed: str, line: str) -> None:
    if isinstance(prompt, FishPrompt):
        line = IN_FISH.get(typed, line)
    completed(prompt, SHOW + typed, SHOW + line)


# Where fish quotes otherwise, or knows no history in a line.
IN_FISH = {
    "'it": "'it\\'s \"x\"' ",
    "bang": "bang!bang ",
}


def test_fish_lists_names_as_its_own_tests_ask_it(home: Home) -> None:
    if shutil.which("fish") is None:
        pytest.skip("no fish")

    def offered(line: str) -> list[str]:
        (home.directory / "rdctl.fish").write_text(fish_script(root))
        ask = f"source {home.directory}/rdctl.fish; complete -C $argv[1]"
        argv = ["fish", "--no-config", "-c", ask, line]
        done = subprocess.run(
            argv, env=home.environ, capture_output=True, text=True, check=True, timeout=SECONDS
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    def expect(line: str, *rows: str) -> None:
        """A busy machine may be too slow for an answer."""
        for _ in range(3):
            if offered(line) == list(rows):
                return
            shutil.rmtree(home.directory / ".cache", ignore_errors=True)
        assert offered(line) == list(rows)

    empty = "0 objects, 0 B"
    expect("rdctl -c sandbox rapiddisk remove ", "rd0\t32.0 MiB")
    expect(SHOW + "my", f"my photos\t{empty}", f"my plans\t{empty}")
    expect(SHOW + "'it\\'s ", f'it\'s "x"\t{empty}')
    expect(SHOW + "'a:b:", f"a:b:c\t{empty}", f"a:b:d e\t{empty}")
    expect(SHOW + "uml", f"umläut\t{empty}")
    expect(SHOW + "back", f"back\\slash\t{empty}")
    expect(SHOW + "back\\\\s", f"back\\slash\t{empty}")
    expect(SHOW + "-- -", f"-dash\t{empty}")
    expect(SHOW + "-- -dash -")
    expect("rdctl --context=la", "--context=lab\thttp://127.0.0.1:1, http://127.0.0.1:1, OPENIO, a")
    expect(
        "rdctl -c 'lab,sa",
        "lab,sandbox\tsimulated, http://oio.sandbox, OPENIO, sandbox",
    )


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("rdctl -c sand", "rdctl -c sandbox "),
        ("rdctl --context=sand", "rdctl --context=sandbox "),
        ("rdctl -csand", "rdctl -csandbox "),
        ("rdctl -c lab,sa", "rdctl -c lab,sandbox "),
        ("rdctl -c lab,la", "rdctl -c lab,la"),
        ("rdctl --context=lab,", "rdctl --context=lab,sandbox "),
        ("rdctl context use la", "rdctl context use lab "),
        ("rdctl -c sandbox rapiddisk remove r", "rdctl -c sandbox rapiddisk remove rd0 "),
        ("rdctl rapiddisk -csandbox resize r", "rdctl rapiddisk -csandbox resize rd0 "),
        ("rdctl rapiddisk resize -c sandbox r", "rdctl rapiddisk resize -c sandbox rd0 "),
        (
            "rdctl -c sandbox rapiddisk cache create rd0 nv",
            "rdctl -c sandbox rapiddisk cache create rd0 nvme0n1 ",
        ),
        (
            "rdctl -c sandbox oio content show photos 'alps/v",
            "rdctl -c sandbox oio content show photos 'alps/valley at dusk.svg' ",
        ),
        (
            "rdctl -c sandbox oio content get-properties photos index.txt --policy",
            "rdctl -c sandbox oio content get-properties photos index.txt --policy",
        ),
        (
            "rdctl -c sandbox oio conscience lock rawx 127.0.0.1:",
            "rdctl -c sandbox oio conscience lock rawx 127.0.0.1:160",
        ),
        (
            "rdctl -c sandbox oio admin copy photos --to=127.0.0.1:16011",
            "rdctl -c sandbox oio admin copy photos --to=127.0.0.1:16011 ",
        ),
        (
            "rdctl -c sandbox oio container set-properties photos ow",
            "rdctl -c sandbox oio container set-properties photos owner=",
        ),
        (
            "rdctl -c sandbox oio content create photos x --body ~/conf",
            "rdctl -c sandbox oio content create photos x --body ~/config.toml ",
        ),
        # Containers and files.
        ("rdctl -c sandbox oio content sync pho", "rdctl -c sandbox oio content sync photos "),
        ("rdctl -c sandbox oio content sync ~/b", "rdctl -c sandbox oio content sync ~/bin/"),
        (
            "rdctl -c sandbox oio content sync ./x pho",
            "rdctl -c sandbox oio content sync ./x photos ",
        ),
        ("rdctl -c lab oio container show p", "rdctl -c lab oio container show p"),
        ("rdctl -c nosuch oio container show p", "rdctl -c nosuch oio container show p"),
    ],
)
def test_names_of_all_sorts(prompt: Prompt, typed: str, line: str) -> None:
    completed(prompt, typed, line)


def test_folders_beside_containers(prompt: Prompt) -> None:
    prompt.pty.sendline("cd ~")
    completed(
        prompt, "rdctl -c sandbox oio content sync bi", "rdctl -c sandbox oio content sync bin/"
    )


def test_the_cursor_may_stand_within_a_line(prompt: Prompt) -> None:
    left = "\x1b[D" * len(" --json")
    line = "rdctl -c sandbox rapiddisk show r"
    # Before what follows, a shell adds a blank of its own, or none.
    completed(prompt, f"{line} --json{left}", f"{line}d0 --json", blanks=False)


def test_names_in_bash_whatever_parts_its_words(home: Home) -> None:
    prompt = prompt_of("bash", home.directory, home.environ)
    try:
        # Between these quotes a backslash would not keep history from being looked up.
        completed(prompt, SHOW + '"bang', SHOW + '"bang"\'!\'"bang" ')
        prompt.pty.send("COMP_WORDBREAKS=' '\n")
        for typed, line in [
            ("a:b:d", "a:b:d\\ e "),
            ("-c sandbox --account=san", "-c sandbox --account=sandbox "),
        ]:
            completed(prompt, SHOW + typed, SHOW + line)
    finally:
        prompt.close()


def test_zsh_may_source_the_script_and_tells_more(home: Home) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("no zsh")
    prompt = prompt_of("zsh", home.directory, home.environ, sourced=True)
    try:
        completed(prompt, SHOW + "my\\ ph", SHOW + "my\\ photos ")
        shown = prompt("rdctl -c ", tabs=2)[1]
        assert "lab      -- http://127.0.0.1:1, http://127.0.0.1:1, OPENIO, a" in shown
        shown = prompt("rdctl -c sandbox oio conscience lock rdir 127", tabs=2)[1]
        assert "127.0.0.1:16018  -- rdir, score 97" in shown
    finally:
        prompt.close()


def test_fish_tells_more_than_names(home: Home) -> None:
    if shutil.which("fish") is None:
        pytest.skip("no fish")
    prompt = prompt_of("fish", home.directory, home.environ)
    try:
        completed(prompt, SHOW + "my\\ ph", SHOW + "my\\ photos ")
        shown = prompt.listed("rdctl -c ", "OPENIO, sandbox")
        assert re.search(r"lab +\(http://127.0.0.1:1, http://127.0.0.1:1, OPENIO, a\)", shown)
        shown = prompt.listed("rdctl -c sandbox oio conscience lock rdir 127", "score 97")
        assert re.search(r"16018 +\(rdir, score 97\)", shown)
    finally:
        prompt.close()


@pytest.mark.parametrize(
    "line",
    [
        "rdctl rapiddisk ",
        "rdctl -c sandbox oio container ",
        "rdctl -c sandbox oio container show -",
        "rdctl -c sandbox rapiddisk create ",
        "rdctl -c sandbox rapiddisk list --columns ",
        "rdctl -c sandbox oio container create ",
    ],
)
def test_for_words_rdctl_is_not_started(prompt: Prompt, home: Home, line: str) -> None:
    before = home.runs
    prompt(line, tabs=2)
    assert home.runs == before


def test_tab_and_tab_again_when_nobody_is_there(prompt: Prompt) -> None:
    line = "rdctl -c lab oio container show ph"

    def costs() -> float:
        watch = Stopwatch()
        after, shown = prompt(line)
        assert after == line
        assert "rror" not in shown
        return watch.quiet

    # What holds on a quiet machine; the least of some stands for that.
    assert any(costs() < 0.5 for _ in range(5))


# --- what it takes ------------------------------------------------------------------------------


@contextmanager
def nobody() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def nobody_answers_the_door() -> Iterator[str]:
    """A port whose queue is full: packets to it are dropped, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        callers = []
        for _ in range(3):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
            callers.append(caller)
        yield f"http://127.0.0.1:{full.getsockname()[1]}"
        for caller in callers:
            caller.close()


@contextmanager
def fault(behaviour: Behaviour) -> Iterator[str]:
    with FaultServer([behaviour]) as server:
        yield server.url


def drip() -> AbstractContextManager[str]:
    return fault(drip_body(0.02))


FAULTS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "down": nobody,
    "full": nobody_answers_the_door,
    "silent": lambda: fault(silent()),
    "dripping": drip,
    "half": lambda: fault(half_body()),
    "503": lambda: fault(http_error(503)),
}


@pytest.mark.parametrize(
    ("kind", "server"),
    [*(("container", server) for server in FAULTS.values()), ("volume", nobody), ("volume", drip)],
    ids=[*FAULTS, "volumes, down", "volumes, dripping"],
)
def test_a_server_that_is_away_costs_little_and_prints_nothing(
    home: Home, kind: str, server: Callable[[], AbstractContextManager[str]]
) -> None:
    with server() as url:
        where = ["--oio-url", url, "--rapiddisk-url", url, "--namespace", "N", "--account", "a"]
        argv = [*MODULE, "__complete", "bash", kind, "", "", "", "0", *where]

        def costs() -> float:
            shutil.rmtree(home.directory / ".cache", ignore_errors=True)
            watch = Stopwatch()
            done = run(home, argv)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
            return watch.quiet

        # What holds on a quiet machine; the least of some stands for that.
        assert any(costs() < 0.5 for _ in range(5))
        assert list((home.directory / ".cache" / "rdctl").glob("names-*"))


def run(home: Home, argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    environ = {**home.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, env=environ, capture_output=True, check=False, timeout=SECONDS)


def test_it_is_answered_before_click_is_imported(home: Home) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "rdctl", "__complete", "zsh"]
    contexts = run(home, [*argv, "contexts", "", "", "", "0"])
    assert b"lab\t" in contexts.stdout
    assert not imported(contexts.stderr) & {"click", "requests", "sqlite3"}
    volumes = run(home, [*argv, "volume", "", "", "", "0", "-c", "sandbox"])
    assert "click" not in imported(volumes.stderr)
    where = ("--oio-url", "http://127.0.0.1:1", "--namespace", "N", "--account", "a")
    away = run(home, [*argv, "container", "", "", "", "0", *where])
    assert "rdctl.net.plain" in imported(away.stderr)
    unneeded = {"click", "sqlite3", "rich", "yaml", "rdctl.output", "requests", "http.client"}
    assert not imported(away.stderr) & unneeded


def imported(trace: bytes) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in trace.decode().splitlines()}
