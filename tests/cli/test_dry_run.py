"""Every changing command of the tree, run twice from the same state: what --dry-run shows is what
--trace shows of the real run, with the same exit code, and the dry run changes nothing.

A new command that changes something gets a row here: one for `rdctl oio` in tests/cli/oio/cases.py,
one for this machine in tests/rapiddisk/acts.py, all others below.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rdctl.cli.tree import Command, root
from rdctl.completion.nodes import walk
from tests.cli.oio.cases import CASES, Case
from tests.cli.oio.conftest import ASKING, Oio, seeded
from tests.cli.test_help import RULES, SHELL, UNRUN, as_printed, assume, examples_of
from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel
from tests.rapiddisk.acts import ACTS, BOOT, DAEMON, Act, arranged
from tests.rapiddisk.keys import ONE_KEY, key_file

__all__ = ["seeded"]  # the fixture


class Row(NamedTuple):
    """`prepare` brings the program into the state from which the words are run; `code` is that of
    the real run, `known` says that a dry run can tell it."""

    words: list[str]
    prepare: Callable[[Program], None]
    stdin: bytes = b""
    code: int = 0
    known: bool = True

    @property
    def verb(self) -> str:
        return next(path for path in LONGEST if self.path.startswith(f"{path} "))

    @property
    def path(self) -> str:
        """What is typed, without the options before the noun."""
        words = self.words[2:] if self.words[0] == "-c" else self.words
        return "rdctl " + " ".join(word for word in words if word != "--local") + " "


COMMANDS = {node.path: node.command for node in walk(root) if not node.children}
LONGEST = sorted(COMMANDS, key=len, reverse=True)


def with_key(rdctl: Program, setup: tuple[str, ...]) -> None:
    key_file(rdctl.home, "host.key", ONE_KEY)
    in_order(rdctl, setup)


def in_order(rdctl: Program, setup: tuple[str, ...]) -> None:
    for line in setup:
        ran = rdctl(*shlex.split(line))
        assert ran.code == 0, ran.err


def with_files(rdctl: Program, setup: tuple[str, ...]) -> None:
    for name, content in FILES.items():
        path = rdctl.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    in_order(rdctl, setup)


# --- in the sandbox -----------------------------------------------------------------------------

RD1 = ("-c sandbox rapiddisk create 64M",)
LOCKED = (*RD1, "-c sandbox rapiddisk lock rd1")
CACHED = (*RD1, "-c sandbox rapiddisk cache create rd1 sdb")
DIRTY = (*RD1, "-c sandbox rapiddisk cache create rd1 sdb --policy writeback --yes")
FREED = ("-c sandbox rapiddisk nvmet unexport rd0 --yes",)
SAVED = (*FREED, "-c sandbox rapiddisk save rd0 rd0.img")
MORE = ("-c sandbox rapiddisk create 64M --count 3",)
CONTEXTS = ("context set lab rapiddisk=local", "context set store oio=http://127.0.0.1:6002")
SANDBOX: dict[str, tuple[str, ...]] = {
    "rapiddisk create 64M": (),
    "rapiddisk create 1GiB --count 3": RD1,
    "rapiddisk resize rd1 128M": RD1,
    "rapiddisk resize rd1 32M": RD1,
    "rapiddisk flush rd1": RD1,
    "rapiddisk flush rd3 rd1": MORE,
    "rapiddisk remove rd1": RD1,
    "rapiddisk remove rd3 rd1 rd2": MORE,
    "rapiddisk lock rd1 rd2": MORE,
    "rapiddisk unlock rd1": LOCKED,
    "rapiddisk cache create rd1 sdb": RD1,
    "rapiddisk cache create rd1 sdb --policy write-around": RD1,
    "rapiddisk cache create rd1 sdb --policy writeback": RD1,
    "rapiddisk cache remove rc-wt_sdb": CACHED,
    "rapiddisk cache remove rc-wb_sdb": DIRTY,
    "rapiddisk cache sync rc-wb_sdb": DIRTY,
    "rapiddisk create 8M --number 5": (),
    "rapiddisk nvmet port add 3 --transport loop": (),
    "rapiddisk nvmet port remove 2": (),
    "rapiddisk nvmet unexport rd0": (),
    "rapiddisk daemon start": (),
    "rapiddisk save rd0 new.img": FREED,
    "rapiddisk save rd1 rd0.img --overwrite": (*SAVED, *RD1),
    "rapiddisk load rd0.img rd0": SAVED,
    "rapiddisk load rd0.img rd1": (*SAVED, *RD1),
}
# With a key in the directory.
HOST = "nqn.2014-08.org.nvmexpress:uuid:7a"
KEYED: dict[str, tuple[str, ...]] = {
    f"rapiddisk nvmet host set {HOST} --auth-key-file host.key --hash sha512": (),
    f"rapiddisk nvmet export rd1 --port 1 --host {HOST} --auth-key-file host.key": RD1,
    "rapiddisk nvmet port add 3 --transport tcp --address 127.0.0.1 --service 4444 --tls": (),
}
# Refused by what is read before: in both runs alike.
REFUSED: dict[str, tuple[tuple[str, ...], int]] = {
    "rapiddisk remove rd9": ((), 3),
    "rapiddisk remove rd1 rd9": (RD1, 8),
    "rapiddisk remove rd0": ((), 4),
    "rapiddisk flush rd1": (LOCKED, 4),
    "rapiddisk resize rd1 8M": (CACHED, 4),
    "rapiddisk create 900G": ((), 4),
    "rapiddisk cache create rd0 sdb": ((), 4),
    "rapiddisk save rd0 rd0.img": ((), 4),
    "rapiddisk save rd0 new/rd0.img": (FREED, 3),
    "rapiddisk save rd1 rd0.img": ((*SAVED, *RD1), 4),
    "rapiddisk load rd9.img rd1": (RD1, 3),
    "rapiddisk nvmet export rd1 --port 9 --any-host": (RD1, 3),
    "oio conscience lock rawx 127.0.0.1:7": ((), 3),
    "oio conscience flush nope": ((), 3),
    "oio reference del-properties nope --all": ((), 3),
    "oio container create -": ((), 0),
}
CONFIGURATION: dict[str, tuple[str, ...]] = {
    "context set new rapiddisk=local": (),
    "context set lab account=x timeout=": CONTEXTS,
    "context use lab": CONTEXTS,
    "context rename lab rack1": CONTEXTS,
    "context remove lab": CONTEXTS,
    "sandbox reset": RD1,
    "sandbox reboot": DIRTY,
    "sandbox damage photos index.txt --how missing": (),
    "sandbox damage photos index.txt --how corrupt --count 2": (),
    "sandbox stop 127.0.0.1:16013": (),
    "sandbox start 127.0.0.1:16013": ("sandbox stop 127.0.0.1:16013",),
    "sandbox release 2025": (),
    "completion bash --install": (),
}
# Whole objects: FILES lie in the directory, and what is received goes there.
FILES = {
    "rules.xml": RULES.encode(),
    "note.txt": b"hello\n",
    "empty": b"",
    "tree/a": b"a",
    "tree/b c": b"@b",
}
OBJECTS: dict[str, tuple[str, ...]] = {
    "oio content put photos note.txt": (),
    "oio content put photos note.txt empty --name-prefix new/": (),
    "oio content put docs note.txt --path 'a b' --autocreate": (),
    "oio content put photos tree --recursive": (),
    "oio content put photos note.txt --path index.txt --overwrite": (),
    "oio content put photos tree --recursive --journal j": (),
    "oio content get photos --recursive --to new --journal j": (),
    "oio content sync ./tree photos/new --journal j": (),
    "oio content sync ./tree photos --delete --max-delete 5": (),
    "oio content sync photos ./tree --delete --max-delete 2": (),
    "oio content delete photos --prefix sea/ --glob *.svg": (),
    "oio content delete photos --recursive": (),
    "oio content link photos index.txt copy": (),
    "oio content link photos index.txt note --to-container docs --autocreate -p a=b": (),
    "oio content link photos index.txt sea/storm.svg --overwrite": (),
    "oio container snapshot photos before": (),
    "oio container checkpoint photos --suffix s1": ("sandbox release 2025",),
    "oio content transition photos index.txt --policy EC42": ("sandbox release 2025",),
    "oio content get photos index.txt": (),
    "oio content append photos index.txt note.txt": (),
    "oio content get photos index.txt --to x --range 0-3 --range -2": (),
    "oio lifecycle set photos rules.xml": (),
    "oio lifecycle set docs rules.xml": (
        "-c sandbox oio container create docs -p X-Container-Sysmeta-Swift3-Lifecycle=old",
    ),
    "oio content get photos index.txt sea/storm.svg --to .": (),
    "metrics rapiddisk --textfile rdctl.prom": (),
}


def damaged(rdctl: Program) -> None:
    """An object of two copies of which one is cut, and another one of which one is lost."""
    words = ("photos note.txt", "photos tree/a")
    with_files(
        rdctl, tuple(f"-c sandbox oio content put {one} --policy TWOCOPIES" for one in words)
    )
    for name, change in (("note.txt", "UPDATE oio_rawx SET data = x'00'"), ("a", _LOSE)):
        shown = rdctl("-c", "sandbox", "oio", "content", "show", "photos", name, "--json")
        url = shown.json["items"][0]["chunks"][0]["url"]
        with closing(sqlite3.connect(rdctl.sandbox)) as store, store:
            store.execute(f"{change} WHERE id = ?", (url.rpartition("/")[2],))


_LOSE = "DELETE FROM oio_rawx"
REPAIRS = ("oio content repair photos", "oio content repair photos note.txt a index.txt --deep")


def rows() -> dict[str, Row]:
    found = {}
    for line in REPAIRS:
        found[line] = Row(["-c", "sandbox", *line.split()], damaged)
    for line, setup in OBJECTS.items():
        words = ["-c", "sandbox", *shlex.split(line)]
        found[line] = Row(words, partial(with_files, setup=setup))
    for line, setup in SANDBOX.items():
        found[line] = Row(["-c", "sandbox", *line.split()], partial(in_order, setup=setup))
    for line, setup in KEYED.items():
        found[line] = Row(["-c", "sandbox", *line.split()], partial(with_key, setup=setup))
    for line, (setup, code) in REFUSED.items():
        words = ["-c", "sandbox", *line.split()]
        found[f"refused: {line}"] = Row(words, partial(in_order, setup=setup), code=code)
    for line, setup in CONFIGURATION.items():
        found[line] = Row(line.split(), partial(in_order, setup=setup))
    for case in CASES:
        found[f"oio {case.words}"] = of_openio(case)
    for name, act in {**ACTS, **DAEMON, **BOOT}.items():
        found[f"here: {name}"] = of_this_machine(act)
    return found


def of_openio(case: Case) -> Row:
    """Refused by the server itself: only the real run hears of it."""
    words = ["-c", "sandbox", "oio", *case.argv]
    return Row(words, lambda rdctl: case.prepare(Oio(rdctl)), case.stdin, case.code, not case.code)


def of_this_machine(act: Act) -> Row:
    words = ["--local", "rapiddisk", *act.words.split()]

    def prepare(rdctl: Program) -> None:
        arranged(rdctl, rdctl.home / "root", act)

    return Row(words, prepare)


ROWS = rows()


# --- the two runs -------------------------------------------------------------------------------


def state(rdctl: Program) -> dict[str, Any]:
    """All that a command may change: files, the sandbox, the machine and what its kernel holds."""
    found: dict[str, Any] = {
        str(path): path.read_bytes()
        for path in rdctl.home.rglob("*")
        if path.is_file() and not path.name.startswith(rdctl.sandbox.name)
    }
    found["sandbox"] = Oio(rdctl).state if rdctl.sandbox.exists() else None
    if isinstance(rdctl.calls, FakeKernel):
        found["kernel"] = rdctl.calls.snapshot()
        found["unit"] = dict(rdctl.calls.unit)
        found["dirty"] = {name: mapping.dirty for name, mapping in rdctl.calls.maps.items()}
    return found


def changing(trace: str) -> list[str]:
    """The lines of a trace that change something, without what came of them and what was asked."""
    lines = [line for line in trace.splitlines() if LINE.match(line)]
    return [
        line for line in lines if not re.search(" -X (GET|HEAD) ", line) and not READS.search(line)
    ]


# What the door writes; anything else on stderr is a message.
LINE = re.compile(
    r"((printf|cat) .*\| )?(curl -sS|install) |"
    "(echo|mkdir|rmdir|ln|rm|mv|dd|write|reset|dmsetup|blockdev|ioctl|systemctl) "
    "|(damage|stop|start|select) |chmod |cat \\S+ > "
)
# A warmup sends queries for what they make services do.
WARMS = r"\?(?!cid=[0-9A-F]+&type=meta1)"
READS = re.compile(rf"/({'|'.join(ASKING)}){WARMS}|[?&]dryrun=1\b")


def words(line: str) -> list[str]:
    """The words of a line, a header as one. A proxy 3.3 gives an object no version, so a plan says
    nothing of one."""
    joined = re.sub(r"-H\n", "-H ", "\n".join(shlex.split(line))).split("\n")
    return [
        word for word in joined if not re.match("-H x-oio-[a-z]+-meta-(content-)?version:", word)
    ]


def alike(planned: str, done: str) -> bool:
    """Whether a line of the plan is that of the trace; what only the change could tell stands in it
    as `rd?` or `<chunk 0>`."""
    patterns = [re.sub("<.*?>|//%3C.*?%3E", ".+", re.escape(word)) for word in words(planned)]
    patterns = [pattern.replace(r"rd\?", r"rd\d+") for pattern in patterns]
    pairs = zip(patterns, words(done), strict=True)
    return all(re.fullmatch(pattern, word) for pattern, word in pairs)


ALWAYS = ("--request-id", "0" * 32, "--parallel", "1")


@pytest.mark.parametrize("name", ROWS)
def test_a_dry_run_is_the_real_run_but_for_the_change(
    rdctl: Program, seeded: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(rdctl.home)
    row = ROWS[name]
    shutil.copyfile(seeded, rdctl.sandbox)
    row.prepare(rdctl)

    def run(*options: str) -> Ran:
        return rdctl(*row.words, *ALWAYS, *options, stdin=row.stdin)

    before = state(rdctl)
    dry = run("--dry-run", "--json")
    shown = run("--dry-run", "--trace", "-o", "table")
    assert state(rdctl) == before
    real = run("--trace", "--yes")
    assert real.code == row.code, real.err
    assert dry.code == (row.code if row.known else 0), dry.err
    done = changing(real.err)
    if "plan" not in dry.json:  # refused before anything was planned
        assert (row.code, done, shown.out) == (row.code or 1, [], "")
        return
    lines, summary, losses = (dry.json[key] for key in ("plan", "summary", "losses"))
    assert changing(shown.err) == lines
    asked = ["confirmation required:", *(f"  {loss}" for loss in losses)] if losses else []
    unchanged = sum(change["changed"] is False for change in dry.json.get("results", ()))
    # The text of a file is below its sentence.
    printed = [line for line in shown.out.splitlines() if line and not line.startswith("    ")]
    assert printed[: len(summary)] == summary
    assert printed[len(summary) + unchanged :] == asked
    assert bool(summary) == bool(lines)
    assert all(sentence.startswith("would ") for sentence in summary)
    assert len(lines) == len(done)
    assert all(map(alike, lines, done)), (lines, done)
    assert all(change["changed"] is not True for change in dry.json.get("results", ()))


@pytest.mark.parametrize(
    "name",
    [
        *("rapiddisk create 64M", "oio conscience deregister meta1"),
        *("context use lab", "sandbox reset"),
        *("here: create", "here: lock", "here: export", "here: cache sync", "here: daemon stop"),
    ],
)
def test_a_change_of_the_state_would_be_seen(rdctl: Program, seeded: Path, name: str) -> None:
    shutil.copyfile(seeded, rdctl.sandbox)
    ROWS[name].prepare(rdctl)
    before = state(rdctl)
    assert rdctl(*ROWS[name].words, "--yes").code == 0
    assert state(rdctl) != before


def test_the_order_of_many_at_a_time_is_that_of_the_names(rdctl: Program) -> None:
    names = [f"c{number}" for number in range(30)]
    plan = rdctl("-c", "sandbox", "oio", "container", "touch", *names, "--dry-run", "--json")
    assert [re.findall("ref=([^']+)", line)[0] for line in plan.json["plan"]] == names


# --- the table is whole -------------------------------------------------------------------------

# Verbs that report, or print a text, and change nothing outside of themselves.
NO_CHANGE = {
    "rdctl help",
    "rdctl check",
    "rdctl sandbox serve",  # its clients do
    "rdctl oio lifecycle get",
    "rdctl oio content copy",  # of a proxy 3.3 only: tests/cli/oio/test_commands.py
    "rdctl oio admin vacuum",  # of later proxies only: tests/cli/oio/test_bases.py
}


def in_the_table() -> set[str]:
    return {row.verb for row in ROWS.values()}


def missing(commands: dict[str, Any], table: set[str]) -> list[str]:
    """Verbs without a schema report a change."""
    report = {path for path, command in commands.items() if command.shows is None}
    return sorted(report - table - NO_CHANGE)


def test_every_command_that_changes_something_is_in_the_table() -> None:
    assert missing(COMMANDS, in_the_table()) == []
    assert COMMANDS.keys() >= NO_CHANGE


def test_one_that_is_not_is_found() -> None:
    assert "rdctl new" in missing({**COMMANDS, "rdctl new": Command("new")}, in_the_table())
    assert "rdctl oio container create" in missing(COMMANDS, set())


SHOWING = [
    example
    for node in walk(root)
    if isinstance(node.command, Command) and node.command.shows and node.path not in UNRUN
    for example in examples_of(node)
    if node.path not in in_the_table() and not node.command.local_only and not SHELL.search(example)
]


@pytest.mark.parametrize("example", SHOWING)
def test_what_is_said_to_show_changes_nothing(rdctl: Program, seeded: Path, example: str) -> None:
    """A verb that shows something and yet changes something has a plan: it belongs in the table."""
    shutil.copyfile(seeded, rdctl.sandbox)
    assume(rdctl, example)
    before = state(rdctl)
    ran = as_printed(rdctl, f"{example} --dry-run -o json --query @".replace(" -o name", ""))
    assert "rdctl.plan/1" not in ran.out
    assert state(rdctl) == before
