"""--watch: samples on the clock, a live table on a terminal, ndjson anywhere else."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pexpect
import pytest

from rdctl.cli.run import run
from rdctl.cli.tree import HERE, Command, root
from rdctl.completion.nodes import walk
from rdctl.core.environment import Environment, Messages, Stream
from rdctl.core.errors import Code, Ended
from tests.cli import replies
from tests.cli.processes import SECONDS, Rdctl, process, wait_until
from tests.cli.terminal import Terminal
from tests.conftest import Program, Ran
from tests.fakes import faults
from tests.fakes.faults import Behaviour, Connection, FaultServer
from tests.fakes.kernel import NVMET, FakeKernel
from tests.fakes.rapiddiskd import DIALECTS, Cache, Daemon, Volume

__all__ = ["process"]

Sandbox = Callable[..., Ran]
START = 1_800_000_000.0  # 2027-01-15T08:00:00Z
LIST = ("rapiddisk", "list", "--watch")


class Time:
    """A clock that only sleeping moves, and what happens at its moments; at the end, Ctrl-C."""

    def __init__(self, ends: float) -> None:
        self.seconds = 0.0
        self.end: BaseException = KeyboardInterrupt()
        self._ends = ends
        self._events: list[tuple[float, Callable[[], Any]]] = []

    def at(self, seconds: float, event: Callable[[], Any]) -> None:
        self._events.append((seconds, event))
        self._events.sort(key=lambda entry: entry[0])

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.seconds += seconds
        while self._events and self._events[0][0] <= self.seconds:
            self._events.pop(0)[1]()
        if self.seconds >= self._ends:
            raise self.end


@pytest.fixture
def during(rdctl: Program) -> Callable[[float], Time]:
    """The program's time, so many seconds long."""

    def begin(seconds: float) -> Time:
        time = Time(seconds)
        rdctl.clock = lambda: time.seconds
        rdctl.now = lambda: START + time.seconds
        rdctl.sleep = time.sleep
        return time

    return begin


def rows(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def by_time(ran: Ran) -> dict[str, list[dict[str, Any]]]:
    """Seconds past the start, and the rows of that sample without their time."""
    samples: dict[str, list[dict[str, Any]]] = {}
    for row in rows(ran):
        assert next(iter(row)) == "time"
        match = re.fullmatch(r"2027-01-15T08:00:(\d\d\.\d{3})Z", row.pop("time"))
        assert match
        samples.setdefault(match[1], []).append(row)
    return samples


# Which commands, and how it is said ---------------------------------------------------------------

# What shows something and yet is not watched: it changes something, reserves places for chunks,
# waits by itself, reads a whole listing or map each time, or is asked once (the doctor and checks,
# whose exit code counts).
NOT_WATCHED = {
    "rdctl doctor",
    "rdctl oio conscience wait",
    "rdctl oio content ranges",
    "rdctl oio directory dump",
    "rdctl oio admin drop-cache",
    "rdctl oio admin leave",
    "rdctl oio admin ping",
    "rdctl oio admin sync",
    "rdctl oio container check",
    "rdctl oio content check",
    "rdctl oio content prepare",
    "rdctl oio content spare",
}
FRAGILE = {"rdctl rapiddisk nvmet list", "rdctl rapiddisk nvmet show", "rdctl rapiddisk show"}


def verbs() -> Iterator[tuple[str, Command]]:
    return ((node.path, node.command) for node in walk(root) if isinstance(node.command, Command))


def test_all_that_only_reads_a_system_can_be_watched() -> None:
    shown = {path: verb.watch for path, verb in verbs() if verb.shows and verb.on_site}
    assert {path for path, watch in shown.items() if not watch} == NOT_WATCHED
    assert {path for path, watch in shown.items() if watch == HERE} == FRAGILE
    others = {path for path, verb in verbs() if not (verb.shows and verb.on_site)}
    assert not any(verb.watch for path, verb in verbs() if path in others)


WATCHED = {
    "rapiddisk status": 1,
    "rapiddisk resources": 1,
    "rapiddisk list": 1,
    "rapiddisk cache list": 0,
    "rapiddisk cache stats": 0,
    "rapiddisk nvmet port list": 2,
    "rapiddisk nvmet host list": 1,
    "oio overview": 1,
    "oio conscience info": 1,
    "oio conscience types": 9,
    "oio conscience list rawx": 3,
    "oio reference show photos": 1,
    "oio container show photos docs2": 1,
    "oio container list": 1,
    "oio container list photos": 4,
    "oio conscience show rawx 127.0.0.1:16013": 1,
    "oio content show photos index.txt": 1,
    "oio content get-properties photos index.txt": 1,
    "oio account list": 1,
    "oio account show": 1,
    "oio account containers": 1,
    "oio service stats 127.0.0.1:16010": 1,
    "oio service ping 127.0.0.1:16010": 1,
    "oio admin status photos": 1,
    "oio admin debug photos": 1,
    "oio local list": 1,
}


@pytest.mark.parametrize("words", WATCHED)
@pytest.mark.parametrize("tty", [False, True])
def test_each_sample_is_as_a_single_run(
    sandbox: Sandbox, during: Callable[[float], Time], words: str, tty: bool
) -> None:
    once = sandbox(*words.split(), "-o", "ndjson")
    during(5)
    watched = sandbox(*words.split(), "--watch", tty=tty)
    assert watched.code == 130
    if tty:
        terminal = Terminal()
        terminal.feed(watched.out)
        assert terminal.as_it_was
        assert terminal.lines
        return
    samples = by_time(watched)
    assert list(samples) == ["00.000", "02.000", "04.000"]
    for sample in samples.values():
        shown = [row for row in sample if row and "error" not in row]
        assert shown == [json.loads(line) for line in once.out.splitlines()]


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (["--watch"], "00.000 02.000 04.000"),
        (["--watch", "rd0"], "00.000 02.000 04.000"),
        (["--watch", "1.5", "rd0"], "00.000 01.500 03.000 04.500"),
        (["--watch=1.5", "rd0"], "00.000 01.500 03.000 04.500"),
        (["rd0", "--watch", "3."], "00.000 03.000"),
        (["rd0", "--watch", ".5e0"], None),
        (["--watch", "--", "rd0"], "00.000 02.000 04.000"),
        (["--watch", "-o", "ndjson"], "00.000 02.000 04.000"),
        (["--watch", "4", "--watch", "1", "--sort-by", "device"], "00.000 01.000 02.000 03.000"),
        (["--sort-by", "device", "--watch", "3"], "00.000 03.000"),
        (["--watch=0.1", "--watch=4"], "00.000 04.000"),
    ],
)
def test_the_value_may_be_left_out(
    sandbox: Sandbox, during: Callable[[float], Time], words: Sequence[str], times: str | None
) -> None:
    during(4.9)
    ran = sandbox("rapiddisk", "list", *words)
    if times is None:
        assert (ran.code, ran.out) == (2, "")
    else:
        assert list(by_time(ran))[:4] == times.split()


def test_a_word_that_is_the_value_of_another_option_is_left_alone(
    sandbox: Sandbox, during: Callable[[float], Time]
) -> None:
    during(1)
    for name in ("--watch", "--watch=2", "7"):
        assert sandbox("oio", "container", "create", "--", name).code == 0
    listed = ("oio", "account", "containers", "-o", "name", "--prefix")
    assert sandbox(*listed, "--watch").out == "--watch\n--watch=2\n"
    shown = sandbox("oio", "container", "show", "--watch", "--", "7")
    assert [row["container"] for row in rows(shown)] == ["7"]


@pytest.mark.parametrize(
    "value", ["0", "0.09", "-1", "nan", "inf", "1e400", "9" * 400, "86401", "x", "1s", "1_0"]
)
def test_no_number_of_seconds(sandbox: Sandbox, rdctl: Program, value: str) -> None:
    ran = sandbox("rapiddisk", "list", f"--watch={value}", "-o", "ndjson")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "usage"
    assert "from 0.1 to 86400" in ran.err
    assert not rdctl.sandbox.exists()


def test_what_is_no_finite_number_is_no_value(
    sandbox: Sandbox, during: Callable[[float], Time]
) -> None:
    """A container may be called so."""
    for name in ("nan", "inf", "1e3"):
        during(1)
        assert sandbox("oio", "container", "create", name).code == 0
        (row,) = rows(sandbox("oio", "container", "show", "--watch", name))
        assert row["container"] == name


REFUSED = [
    ("--json",),
    *(("-o", form) for form in ("json", "yaml", "csv", "tsv", "name")),
    ("-0",),
    ("--query", "[].device"),
    ("-o", "ndjson", "--query", "[].device"),
    ("--table-style", "github"),
]


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
@pytest.mark.parametrize("tty", [False, True])
def test_what_cannot_stand_beside_it(
    rdctl: Program, during: Callable[[float], Time], words: Sequence[str], tty: bool
) -> None:
    during(1)
    with FaultServer([replies.inventory()]) as server:
        ran = rdctl("--rapiddisk-url", server.url, *LIST, *words, tty=tty)
        assert server.requests == []
    assert ran.code == 2
    assert "cannot be used with --watch\nhint: Use a terminal for a live table" in ran.err
    assert "-o ndjson" in ran.err


@pytest.mark.parametrize(("tty", "term"), [(False, "xterm"), (True, "dumb")])
def test_a_table_needs_a_terminal(sandbox: Sandbox, tty: bool, term: str) -> None:
    assert sandbox(*LIST, "-o", "table", tty=tty, env={"TERM": term}).code == 2


def test_a_variable_for_the_format_is_refused_as_well(sandbox: Sandbox) -> None:
    assert sandbox(*LIST, env={"RDCTL_OUTPUT": "csv"}).code == 2


def test_a_wrong_column_is_told_at_once(rdctl: Program) -> None:
    with FaultServer([replies.inventory()]) as server:
        ran = rdctl("--rapiddisk-url", server.url, *LIST, "--columns", "devise")
        assert server.requests == []
    assert ran.code == 2


ASK_TARGETS = [("nvmet", "list"), ("nvmet", "list", "--all"), ("show", "rd0")]


@pytest.mark.parametrize("words", ASK_TARGETS)
def test_no_daemon_is_asked_for_its_targets_again_and_again(
    rdctl: Program, words: Sequence[str]
) -> None:
    with FaultServer([replies.inventory()]) as server:
        ran = rdctl("--rapiddisk-url", server.url, "rapiddisk", *words, "--watch", "-o", "ndjson")
        assert server.requests == []
    assert (ran.code, ran.json["error"]["code"]) == (11, "unsupported")
    assert "with --local" in ran.err


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_else_asks_a_daemon_for_its_targets(
    rdctl: Program, during: Callable[[float], Time], dialect: str
) -> None:
    volumes, caches = {"rd0": Volume(64)}, {"rc-wt_sdb": Cache("rd0", "sdb")}
    with Daemon(dialect, volumes=volumes, caches=caches) as daemon:
        for words in (
            "status",
            "resources",
            "list",
            "cache list",
            "cache stats",
            "nvmet port list",
        ):
            during(3)
            url = ("--rapiddisk-url", daemon.url)
            # The oldest have no ports, and the fake one has no counters to show.
            assert rdctl(*url, "rapiddisk", *words.split(), "--watch").code in (130, 11, 3)
        assert len(daemon.requests) >= 10
        assert not any("Targets" in request for request in daemon.requests)
        assert daemon.changes == []


@pytest.mark.parametrize("words", [*ASK_TARGETS, ("list",), ("status",), ("resources",)])
def test_the_machine_itself_may_be_asked(
    local: Sandbox, during: Callable[[float], Time], words: Sequence[str]
) -> None:
    assert local("rapiddisk", "create", "1M").code == 0
    during(3)
    ran = local("rapiddisk", *words, "--watch")
    assert ran.code == 130, ran.err
    assert list(by_time(ran)) == ["00.000", "02.000"]


def test_nor_the_daemons_of_several_contexts(rdctl: Program) -> None:
    rdctl("context", "set", "here", "rapiddisk=local")
    with FaultServer([replies.inventory()]) as server:
        rdctl("context", "set", "there", f"rapiddisk={server.url}")
        assert rdctl("-c", "here,there", "rapiddisk", "nvmet", "list", "--watch").code == 11
        assert server.requests == []


# Lines --------------------------------------------------------------------------------------------


def test_columns_order_and_limit_hold_for_each_sample(
    sandbox: Sandbox, during: Callable[[float], Time]
) -> None:
    time = during(3)
    sandbox("rapiddisk", "create", "1M", "--count", "2")
    time.at(1, lambda: sandbox("rapiddisk", "create", "2M"))
    ran = sandbox(*LIST, "--columns", "size,device", "--sort-by", "-size")
    assert [[tuple(row.values()) for row in sample] for sample in by_time(ran).values()] == [
        [(33554432, "rd0"), (1048576, "rd1"), (1048576, "rd2")],
        [(33554432, "rd0"), (2097152, "rd3"), (1048576, "rd1"), (1048576, "rd2")],
    ]
    assert all(list(row) == ["time", "size", "device"] for row in rows(ran))
    during(3)
    limited = sandbox("oio", "container", "list", "photos", "--limit", "2", "--watch")
    assert [len(sample) for sample in by_time(limited).values()] == [2, 2]
    assert limited.err == ""


def test_a_sample_without_rows_is_a_line_with_its_time(
    rdctl: Program, during: Callable[[float], Time]
) -> None:
    time = during(5)
    with Daemon() as daemon:
        time.at(1, lambda: daemon.volumes.update(rd1=Volume(64)))
        time.at(3, daemon.volumes.clear)
        ran = rdctl("--rapiddisk-url", daemon.url, *LIST)
    assert ran.out.splitlines()[::2] == [
        '{"time": "2027-01-15T08:00:00.000Z"}',
        '{"time": "2027-01-15T08:00:04.000Z"}',
    ]
    assert rows(ran)[1]["device"] == "rd1"
    assert (ran.code, ran.err) == (130, "")


def test_every_sample_is_out_before_the_next_begins(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    time = during(5)
    raw = io.BytesIO()
    buffered = io.BufferedWriter(raw)
    out = []
    time.at(1, lambda: out.append(raw.getvalue()))
    environment = Environment(
        stdin=io.BytesIO(),
        stdout=Stream(buffered, tty=False),
        stderr=Messages(io.BytesIO(), tty=False),
        environ={"HOME": str(rdctl.home), "RDCTL_SANDBOX": str(rdctl.sandbox)},
        clock=rdctl.clock,
        sleep=rdctl.sleep,
        now=rdctl.now,
    )
    assert run(["-c", "sandbox", *LIST], environment) == 130
    assert out[0].count(b"\n") == 1
    assert raw.getvalue().count(b"\n") == 3


@pytest.mark.parametrize("form", [(), ("-o", "ndjson")])
def test_what_is_removed_ends_the_watch(
    sandbox: Sandbox, during: Callable[[float], Time], form: Sequence[str]
) -> None:
    time = during(9)
    sandbox("rapiddisk", "create", "1M")
    time.at(3, lambda: sandbox("rapiddisk", "remove", "rd1", "--yes"))
    ran = sandbox(*LIST, "rd1", *form)
    assert ran.code == 3
    assert "volume rd1 not found" in ran.err
    *shown, last = rows(ran)
    assert [row["device"] for row in shown] == ["rd1", "rd1"]
    assert (last["error"]["code"], last["error"]["target"]) == ("not-found", "rd1")


@pytest.mark.parametrize("tty", [False, True])
def test_of_several_the_last_ends_it(
    sandbox: Sandbox, during: Callable[[float], Time], tty: bool
) -> None:
    for name in ("a", "b"):
        sandbox("oio", "container", "create", name)
    time = during(20)
    time.at(1, lambda: sandbox("oio", "container", "destroy", "a", "--yes"))
    time.at(3, lambda: sandbox("oio", "container", "destroy", "b", "--yes"))
    ran = sandbox("oio", "container", "show", "a", "b", "--watch", tty=tty)
    assert ran.code == 3
    assert 'rdctl: error: container "a" not found in ' in ran.err
    assert 'rdctl: error: container "b" not found in ' in ran.err
    # The hint leads to the system that was watched.
    assert "rdctl -c sandbox oio reference show b" in ran.err
    if not tty:
        shown = [
            [row["container"] if row.get("container") else row["error"]["target"] for row in sample]
            for sample in by_time(ran).values()
        ]
        assert shown == [["a", "b"], ["b", "a"], ["a", "b"]]


@pytest.mark.parametrize(("named", "code"), [((), 130), (("rc-wt_sdb", "rc-wt_sdc"), 3)])
def test_a_cache_that_goes_in_the_middle_of_a_sample(
    rdctl: Program, during: Callable[[float], Time], named: Sequence[str], code: int
) -> None:
    """Only who named it is told that it does not exist."""
    during(3)
    both = replies.inventory(caches=["rc-wt_sdb", "rc-wt_sdc"])
    one = replies.inventory(caches=["rc-wt_sdb"])
    stats = replies.counters("rc-wt_sdb")
    missing = replies.failed("Can't get device status of rc-wt_sdc: No such device")
    with FaultServer([both, stats, missing, one, *((one, stats) * 2)]) as server:
        url = ("--rapiddisk-url", server.url)
        ran = rdctl(*url, "rapiddisk", "cache", "stats", *named, "--watch")
    assert ran.code == code
    assert {row["device"] for row in rows(ran)} == {"rc-wt_sdb"}


def test_a_first_sample_that_fails_is_a_usual_error(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    during(9)
    ran = sandbox(*LIST, "rd9", "-o", "ndjson")
    assert (ran.code, ran.json["schema"]) == (3, "rdctl.error/1")
    with FaultServer([replies.inventory()]) as server:
        pass
    ran = rdctl("--rapiddisk-url", server.url, *LIST)
    assert (ran.code, ran.out) == (6, "")
    ran = sandbox("oio", "container", "show", "nosuch", "--watch", tty=True)
    assert (ran.code, ran.out) == (3, "")


def late(time: Time, *, whole: bool) -> Behaviour:
    """An answer that takes 5 seconds of that time, or of which only the head ever comes."""

    def answer(connection: Connection) -> None:
        connection.receive()
        time.seconds += 5.0
        body = b'{"volumes": [{"rapiddisk": []}, {"rapiddisk_cache": []}]}'
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        connection.send(body if whole else b"")
        connection.wait_for_close()

    return answer


def test_what_may_pass_is_told_and_the_watch_goes_on(
    rdctl: Program, during: Callable[[float], Time]
) -> None:
    during(11)
    script = [
        replies.inventory(),
        faults.reset(),
        faults.json({"no": "volumes"}),
        faults.reply(503, b"busy"),
        replies.inventory(["rd1"]),
    ]
    with FaultServer(script) as server:
        ran = rdctl("--rapiddisk-url", server.url, "--retries", "0", *LIST)
    assert ran.code == 130
    assert ran.err == ""
    shown = [row["error"]["code"] if "error" in row else row["device"] for row in rows(ran)]
    assert shown == ["rd0", "unreachable", "bad-reply", "unavailable", "rd1", "rd1"]
    assert list(by_time(ran)) == ["00.000", "02.000", "04.000", "06.000", "08.000", "10.000"]


def test_another_error_ends_it(rdctl: Program, during: Callable[[float], Time]) -> None:
    during(11)
    with FaultServer([replies.inventory(), faults.reply(401, b"no")]) as server:
        ran = rdctl("--rapiddisk-url", server.url, *LIST)
    assert ran.code == 5
    assert [row.get("error", {}).get("code") for row in rows(ran)] == [None, "denied"]


def test_a_slow_sample_leaves_out_those_that_it_missed(
    rdctl: Program, during: Callable[[float], Time]
) -> None:
    time = during(13)
    quick = replies.inventory()
    with FaultServer([quick, late(time, whole=True), quick]) as server:
        ran = rdctl("--rapiddisk-url", server.url, *LIST)
    assert list(by_time(ran)) == ["00.000", "02.000", "08.000", "10.000", "12.000"]


def test_the_deadline_is_for_each_sample(rdctl: Program, during: Callable[[float], Time]) -> None:
    time = during(15)
    quick = replies.inventory()
    with FaultServer([quick, quick, late(time, whole=False), quick]) as server:
        ran = rdctl("--rapiddisk-url", server.url, "--timeout", "3", *LIST)
    shown = [row["error"]["code"] if "error" in row else row["device"] for row in rows(ran)]
    assert shown == ["rd0", "rd0", "timeout", "rd0", "rd0", "rd0"]


def test_names_on_standard_input_are_read_once(
    sandbox: Sandbox, during: Callable[[float], Time]
) -> None:
    during(3)
    ran = sandbox(*LIST, "-", stdin=b"rd0\n")
    assert [len(sample) for sample in by_time(ran).values()] == [1, 1]
    during(3)
    ran = sandbox("oio", "container", "show", "--watch", "-", stdin=b"photos\n")
    assert [[row["container"] for row in sample] for sample in by_time(ran).values()] == [
        ["photos"],
        ["photos"],
    ]


def test_a_dry_run_looks_all_the_same(sandbox: Sandbox, during: Callable[[float], Time]) -> None:
    during(3)
    assert len(by_time(sandbox(*LIST, "--dry-run"))) == 2


@pytest.mark.parametrize(("where", "line"), [("sandbox", "# dmsetup ls"), ("served", "curl -sS")])
def test_a_trace_beside_the_lines(
    request: pytest.FixtureRequest, during: Callable[[float], Time], where: str, line: str
) -> None:
    program: Sandbox = request.getfixturevalue(where)
    during(3)
    ran = program(*LIST, "--trace")
    assert ran.err.count(line) == 2
    assert len(by_time(ran)) == 2


def test_several_contexts(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    time = during(5)
    with FaultServer([replies.inventory(["rd5"])]) as server:
        rdctl("context", "set", "lab", f"rapiddisk={server.url}")
        time.at(3, server.refuse)
        ran = rdctl("-c", "lab,sandbox", *LIST, "--retries", "0")
    shown = [
        [(row["context"], row.get("device") or row["error"]["code"]) for row in sample]
        for sample in by_time(ran).values()
    ]
    assert ran.code == 130
    assert shown == [
        [("lab", "rd5"), ("sandbox", "rd0")],
        [("lab", "rd5"), ("sandbox", "rd0")],
        [("sandbox", "rd0"), ("lab", "unreachable")],
    ]
    assert all(list(row)[:2] == ["time", "context"] for row in rows(ran))


# A screen -----------------------------------------------------------------------------------------


class Seen:
    """A watch on a terminal of the program's own, that can be looked at while it goes on."""

    def __init__(self, rdctl: Program, time: Time, *, columns: int = 80, lines: int = 24) -> None:
        self.rdctl = rdctl
        self.time = time
        self.size = (columns, lines)
        self.pictures: list[Terminal] = []
        self.err = io.BytesIO()
        self._out = io.BytesIO()
        self._from = 0

    def resize(self, columns: int, lines: int) -> None:
        """What was painted before is of no account."""
        self.size = (columns, lines)
        self._from = len(self._out.getvalue())

    def look_at(self, *moments: float) -> None:
        """Keep what is seen then."""
        for moment in moments:
            self.time.at(moment, lambda: self.pictures.append(self.terminal()))

    def terminal(self) -> Terminal:
        terminal = Terminal(*self.size)
        terminal.feed(self._out.getvalue()[self._from :].decode())
        return terminal

    def __call__(self, *argv: str, **environ: str) -> int:
        self._out = io.BytesIO()
        environment = Environment(
            stdin=io.BytesIO(),
            stdout=Stream(self._out, tty=True),
            stderr=Messages(self.err, tty=True),
            environ={
                "HOME": str(self.rdctl.home),
                "RDCTL_CONFIG": str(self.rdctl.config),
                "RDCTL_SANDBOX": str(self.rdctl.sandbox),
                "RDCTL_DEBUG": "1",
                **environ,
            },
            stdin_tty=True,
            width=self.size[0],
            size=lambda: self.size,
            clock=self.rdctl.clock,
            sleep=self.rdctl.sleep,
            now=self.rdctl.now,
        )
        return run(argv, environment)


def test_a_live_table_marks_what_changed(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    sandbox("rapiddisk", "create", "64M", "--count", "2")
    seen = Seen(rdctl, during(9))
    seen.time.at(1, lambda: sandbox("rapiddisk", "lock", "rd0"))
    seen.time.at(3, lambda: sandbox("rapiddisk", "resize", "rd2", "65M"))
    seen.time.at(3, lambda: sandbox("rapiddisk", "create", "8M"))
    seen.time.at(5, lambda: sandbox("rapiddisk", "remove", "rd1", "--yes"))
    seen.look_at(0.5, 2.5, 4.5, 6.5, 8.5)
    assert seen("-c", "sandbox", *LIST) == 130
    first, locked, more, less, still = seen.pictures
    assert first.lines[0].endswith("every 2 s  sandbox  rdctl rapiddisk list")
    assert first.lines[1:] == [
        "",
        "DEVICE      SIZE     USAGE  LOCKED  USED BY",
        "rd0     32.0 MiB  16.0 KiB  no      export sandbox-rd0",
        "rd1     64.0 MiB       0 B  no      -",
        "rd2     64.0 MiB       0 B  no      -",
    ]
    assert (first.other, first.cursor, first.wraps) == (True, False, False)
    assert first.marked("7") == []
    assert locked.marked("7") == ["yes"]
    assert more.lines[3:] == [
        "rd0     32.0 MiB           16.0 KiB  yes     export sandbox-rd0",
        "rd1     64.0 MiB                0 B  no      -",
        "rd2     65.0 MiB +1.0 MiB       0 B  no      -",
        "rd3      8.0 MiB                0 B  no      -",
    ]
    assert "+1.0 MiB" in more.marked("1")
    assert more.marked("7") == ["rd3", "8.0 MiB", "0 B", "no", "-"]
    assert less.lines[-1] == "Gone: rd1"
    assert less.marked("7") == []
    assert "Gone: rd1" not in still.lines
    after = seen.terminal()
    assert after.as_it_was
    assert after.lines == still.lines
    assert seen.err.getvalue() == b""


def test_without_colors_a_star_marks(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    seen = Seen(rdctl, during(3))
    seen.time.at(1, lambda: sandbox("rapiddisk", "lock", "rd0"))
    assert seen("-c", "sandbox", *LIST, NO_COLOR="1") == 130
    assert seen.terminal().lines[3] == "rd0     32.0 MiB  16.0 KiB  yes*    export sandbox-rd0"
    assert seen.terminal().marked("1") == []


def test_who_may_connect_is_marked_where_no_host_is_listed_before_and_after(
    local: Sandbox, kernel: FakeKernel, during: Callable[[float], Time]
) -> None:
    nqn = "nqn.2021-06.org.rapiddisk:rdvm-rd0"
    kernel.add_volume(0)
    kernel.foreign_subsystem(nqn, "/dev/rd0")
    allow = f"{NVMET}/subsystems/{nqn}/attr_allow_any_host"
    during(3).at(1, lambda: kernel.put(allow, "1\n"))
    words = ("rapiddisk", "nvmet", "list", "--columns", "nqn,hosts", "--watch")
    shown = local(*words, tty=True, env={"NO_COLOR": "1"}).out
    assert f"{nqn}  none" in shown
    assert f"{nqn}  any*" in shown


def stats(reads: int, hits: int, writes: int) -> Behaviour:
    counters = {"device": "rc-wt_sdb", "reads": reads, "cache_hits": hits, "writes": writes}
    return faults.json({"statistics": [{"cache_stats": [counters]}]})


def test_a_cache_that_warms_up(rdctl: Program, during: Callable[[float], Time]) -> None:
    """The rate of the last seconds stands beside that of all time; 80 columns hold it all."""
    seen = Seen(rdctl, during(9))
    mapped = replies.inventory(caches=["rc-wt_sdb"])
    script = [
        *(mapped, stats(0, 0, 0)),
        *(mapped, stats(1000, 100, 7)),
        *(mapped, stats(2234567, 2000100, 7)),
        *(mapped, stats(2234567, 2000100, 7)),
        *(mapped, stats(5, 5, 0)),
    ]
    seen.look_at(0.5, 2.5, 4.5, 6.5)
    with FaultServer(script) as server:
        url = ("--rapiddisk-url", server.url)
        assert seen(*url, "rapiddisk", "cache", "stats", "--watch") == 130
    words = [picture.lines[3].split() for picture in (*seen.pictures, seen.terminal())]
    assert words[0] == ["rc-wt_sdb", "write-through", "0", "0", "-", "0"]
    assert words[1][2:] == "1000 +1000 100 +100 10.0% 10.0% 7 +7".split()
    assert words[2][2:] == "2234567 +2.23M 2000100 +2M 89.5% 89.5% 7".split()
    assert words[3][2:] == "2234567 2000100 89.5% 7".split()
    assert words[4][2:] == "5 -2.23M 5 -2M 100.0% 0 -7".split()
    for picture in seen.pictures:
        assert picture.lines[3].split()[0] == "rc-wt_sdb"
        assert max(map(len, picture.lines)) < 80
    assert "NOW" in picture.lines[2].split()


def test_one_thing_at_length(rdctl: Program, during: Callable[[float], Time]) -> None:
    seen = Seen(rdctl, during(3))

    def resources(free: int, disk: str) -> Behaviour:
        disks = [{"device": disk, "size": 1 << 30, "vendor": "V", "model": "M"}]
        memory = [{"mem_total": 1 << 30, "mem_free": free}]
        return faults.json({"resources": [{"memory": memory}, {"volumes": disks}]})

    with FaultServer([resources(1 << 29, "sda"), resources(1 << 28, "sdb")]) as server:
        url = ("--rapiddisk-url", server.url)
        assert seen(*url, "rapiddisk", "resources", "--watch") == 130
    terminal = seen.terminal()
    assert terminal.lines[2:5] == [
        "Memory     1.0 GiB",
        "Free       256.0 MiB -256.0 MiB",
        "Available  -",
    ]
    assert "-256.0 MiB" in terminal.marked("1")
    assert terminal.marked("7") == ["Disks"]


def test_trouble_stands_above_the_last_table(
    rdctl: Program, during: Callable[[float], Time]
) -> None:
    seen = Seen(rdctl, during(5))
    seen.look_at(0.5, 2.5)
    script = [replies.inventory(), faults.reset(), replies.inventory()]
    with FaultServer(script) as server:
        assert seen("--rapiddisk-url", server.url, "--retries", "0", *LIST) == 130
    good, bad = seen.pictures
    assert bad.lines[0] == good.lines[0]
    assert re.match(r"\d\d:\d\d:02  unreachable: http://\S+ (broke|closed)", bad.lines[1])
    assert bad.lines[2:] == good.lines[2:]
    assert seen.terminal().lines[1] == ""


def test_the_screen_is_small(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    sandbox("rapiddisk", "create", "1M", "--count", "30")
    for lines in range(1, 10):
        seen = Seen(rdctl, during(1), columns=30, lines=lines)
        seen.look_at(0.5)
        assert seen("-c", "sandbox", *LIST) == 130
        (picture,) = seen.pictures
        assert len(picture.lines) <= lines
        if lines > 3:
            shown = [line for line in picture.lines if line.startswith("rd")]
            assert picture.lines[-1] == f"... and {31 - len(shown)} more"
            assert len(shown) == lines - 4
        assert picture.lines[0].endswith("…")


def test_more_rows_than_any_screen_has(rdctl: Program, during: Callable[[float], Time]) -> None:
    """They are counted; whether one of them is gone cannot be told."""
    seen = Seen(rdctl, during(3))
    script = [replies.inventory([f"rd{number}" for number in range(n)]) for n in (1500, 1400)]
    with FaultServer(script) as server:
        assert seen("--rapiddisk-url", server.url, *LIST) == 130
    assert seen.terminal().lines[-1] == "... and 1380 more"


def test_what_a_limit_leaves_out(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    seen = Seen(rdctl, during(3))
    words = ("oio", "container", "list", "photos", "--limit", "2", "--watch")
    assert seen("-c", "sandbox", *words) == 130
    assert seen.terminal().lines[-1] == "... and more, beyond --limit"
    assert seen.err.getvalue() == b""


def test_a_line_is_never_wider_than_the_screen(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    """The terminal of the tests refuses one."""
    sandbox("oio", "container", "create", "ü" * 60, "写真" * 30, "e\u0301" * 60)
    for columns in (1, 2, 5, 20, 40, 79, 200):
        seen = Seen(rdctl, during(3), columns=columns)
        for noun in ("account containers", "conscience list", "container show photos"):
            assert seen("-c", "sandbox", "oio", *noun.split(), "--watch") == 130
            assert seen.terminal().as_it_was


def test_another_size_is_painted_at_once(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    seen = Seen(rdctl, during(50), columns=40)
    seen.time.at(10, lambda: seen.resize(60, 5))
    sandbox("rapiddisk", "create", "1M", "--count", "4")
    seen.look_at(9, 10.5)
    assert seen("-c", "sandbox", "rapiddisk", "list", "--watch", "100") == 130
    before, after = seen.pictures
    assert before.lines[0].endswith("…")
    assert after.lines[0].endswith("rdctl rapiddisk list")
    assert after.lines[-1] == "... and 4 more"
    assert len(after.lines) == 5


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (KeyboardInterrupt(), 130, ""),
        (Ended(Code.TERMINATED), 143, "rdctl: error: terminated; nothing was changed\n"),
        (Ended(Code.HANGUP), 129, "rdctl: error: hang-up; nothing was changed\n"),
    ],
)
def test_every_way_out_leaves_the_terminal_as_it_was(
    rdctl: Program,
    during: Callable[[float], Time],
    end: BaseException,
    code: int,
    told: str,
) -> None:
    seen = Seen(rdctl, during(3))
    seen.time.end = end
    assert seen("-c", "sandbox", *LIST) == code
    terminal = seen.terminal()
    assert terminal.as_it_was
    assert terminal.lines[-1] == "rd0     32.0 MiB  16.0 KiB  no      export sandbox-rd0"
    assert seen.err.getvalue().decode() == told


def test_an_error_that_ends_it_is_told_below_the_last_table(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    sandbox("rapiddisk", "create", "1M")
    seen = Seen(rdctl, during(9))
    seen.time.at(1, lambda: sandbox("rapiddisk", "remove", "rd1", "--yes"))
    assert seen("-c", "sandbox", *LIST, "rd1") == 3
    assert seen.terminal().as_it_was
    assert seen.terminal().lines[-1].startswith("rd1 ")
    assert b"volume rd1 not found" in seen.err.getvalue()


def test_nothing_is_told_across_the_picture(
    rdctl: Program, during: Callable[[float], Time]
) -> None:
    """A warning stands in the picture, and is told once when that is gone."""
    seen = Seen(rdctl, during(5))
    told: list[bytes] = []
    seen.time.at(3, lambda: told.append(seen.err.getvalue()))
    seen.look_at(3)
    with Daemon("8.2.0", volumes={"rd0": Volume(64)}) as daemon:
        assert seen("--rapiddisk-url", daemon.url, *LIST) == 130
    assert told == [b""]
    assert seen.pictures[0].lines[1].startswith("rdctl: warning: rapiddiskd 8.2.0 passes requests")
    assert seen.err.getvalue().count(b"rdctl: warning: rapiddiskd 8.2.0") == 1


def test_a_trace_would_spoil_the_picture(sandbox: Sandbox, during: Callable[[float], Time]) -> None:
    during(1)
    ran = sandbox(*LIST, "--trace", tty=True)
    assert (ran.code, ran.out) == (2, "")
    assert "2>FILE" in ran.err


def test_a_terminal_that_cannot_be_painted_on_gets_lines(
    sandbox: Sandbox, during: Callable[[float], Time]
) -> None:
    during(3)
    ran = sandbox(*LIST, tty=True, env={"TERM": "dumb"})
    assert [row["device"] for row in rows(ran)] == ["rd0", "rd0"]


def test_quiet_leaves_the_head_out(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    seen = Seen(rdctl, during(1))
    assert seen("-c", "sandbox", *LIST, "--quiet", "--no-headers") == 130
    assert seen.terminal().lines == ["rd0  32.0 MiB  16.0 KiB  no  export sandbox-rd0"]


def test_versions_of_one_name_are_told_apart(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    seen = Seen(rdctl, during(3))
    assert seen("-c", "sandbox", "oio", "conscience", "list", "--watch") == 130
    assert seen.terminal().marked("7") == []


def test_several_contexts_on_a_screen(
    sandbox: Sandbox, rdctl: Program, during: Callable[[float], Time]
) -> None:
    seen = Seen(rdctl, during(3))
    with FaultServer([replies.inventory(["rd0"])]) as server:
        rdctl("context", "set", "lab", f"rapiddisk={server.url}")
        seen.time.at(1, server.refuse)
        assert seen("-c", "lab,sandbox", *LIST, "--retries", "0") == 130
    lines = seen.terminal().lines
    assert lines[0].endswith("every 2 s  lab,sandbox  rdctl rapiddisk list")
    assert re.match(r"\d\d:\d\d:02  lab: unreachable: ", lines[1])
    assert lines[3].split()[:2] == ["sandbox", "rd0"]
    assert len(lines) == 4
    assert seen.terminal().marked("7") == []


# For long -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "kind"),
    [("sandbox", "pipe"), ("served", "tty"), ("sandbox,served", "pipe"), ("sandbox,served", "tty")],
)
def test_nothing_grows(process: Rdctl, context: str, kind: str) -> None:
    """120 samples: no descriptor, no thread and next to no object more than after 40."""
    with FaultServer([replies.inventory()]) as server:
        process("context", "set", "served", f"rapiddisk={server.url}")
        process.argv = [sys.executable, "-m", "tests.cli.growth", kind]
        code, out, err = process("-c", context, "rapiddisk", "list")
    assert (code, err) == (130, "")
    before, after = json.loads(out)
    assert after["descriptors"] <= before["descriptors"]
    assert after["threads"] <= before["threads"]
    assert after["objects"] - before["objects"] < 8
    assert after["blocks"] - before["blocks"] < 8


def test_a_signal_within_a_finalizer_ends_it_too(
    rdctl: Program, during: Callable[[float], Time], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python lets no exception out of one, and prints it at best."""
    lost: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: lost.append(unraisable.exc_type))

    class Last:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    time = during(3.5)
    time.at(1, lambda: Last() and None)
    ran = rdctl("-c", "sandbox", "rapiddisk", "list", "--watch", "1")
    assert lost == [KeyboardInterrupt]
    assert (ran.code, ran.err) == (130, "")
    assert len(rows(ran)) == 1


# For real -----------------------------------------------------------------------------------------


@pytest.fixture
def watched(process: Rdctl) -> Iterator[Callable[..., pexpect.spawn[str]]]:
    children: list[pexpect.spawn[str]] = []

    def spawn(*words: str, columns: int = 80, lines: int = 24) -> pexpect.spawn[str]:
        child: pexpect.spawn[str] = pexpect.spawn(
            process.argv[0],
            [*process.argv[1:], "-c", "sandbox", *words],
            env={**process.env, "TERM": "xterm"},
            dimensions=(lines, columns),
            timeout=int(SECONDS),
            encoding="utf-8",
        )
        children.append(child)
        return child

    yield spawn
    for child in children:
        child.close(force=True)


class Screen:
    """The terminal of a child."""

    def __init__(self, child: pexpect.spawn[str], columns: int = 80, lines: int = 24) -> None:
        self.child = child
        self.size = (columns, lines)
        self.text = ""

    def see(self, wanted: Callable[[Terminal], bool]) -> Terminal:
        """Read on until that is seen."""

        def seen() -> bool:
            with suppress(pexpect.TIMEOUT):
                self.text += self.child.read_nonblocking(65536, timeout=0.05)
            return wanted(self.terminal())

        wait_until(seen)
        return self.terminal()

    def terminal(self) -> Terminal:
        terminal = Terminal(*self.size)
        # What the driver echoes for Ctrl-C and Ctrl-Z is none of the program's.
        terminal.feed(re.sub(r"\^[CZ]|\x1b[^A-Za-z]*$", "", self.text))
        return terminal

    def end(self) -> tuple[int | None, Terminal]:
        self.child.expect(pexpect.EOF)
        self.text += str(self.child.before)
        self.child.close()
        return self.child.exitstatus, self.terminal()


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (None, 130, []),
        (signal.SIGINT, 130, []),
        (signal.SIGTERM, 143, ["rdctl: error: terminated; nothing was changed"]),
    ],
)
def test_in_a_terminal(
    process: Rdctl,
    watched: Callable[..., pexpect.spawn[str]],
    number: int | None,
    code: int,
    told: list[str],
) -> None:
    screen = Screen(watched("rapiddisk", "list", "--watch", "0.1"))
    screen.see(lambda seen: "rd0     32.0 MiB  16.0 KiB  no      export sandbox-rd0" in seen.lines)
    assert process("-c", "sandbox", "rapiddisk", "create", "8M")[0] == 0
    screen.see(lambda seen: seen.lines[-1:] == ["rd1      8.0 MiB       0 B  no      -"])
    if number is None:
        screen.child.sendintr()
    else:
        screen.child.kill(number)
    done, terminal = screen.end()
    assert done == code
    assert terminal.as_it_was
    assert terminal.lines[2:] == [
        "DEVICE      SIZE     USAGE  LOCKED  USED BY",
        "rd0     32.0 MiB  16.0 KiB  no      export sandbox-rd0",
        "rd1      8.0 MiB       0 B  no      -",
        *told,
    ]


def test_a_window_of_another_size(watched: Callable[..., pexpect.spawn[str]]) -> None:
    """Long before the next sample."""
    screen = Screen(watched("rapiddisk", "list", "--watch", "500", columns=30))
    screen.see(lambda seen: bool(seen.lines) and seen.lines[0].endswith("…"))
    screen.child.setwinsize(24, 80)
    screen.see(lambda seen: seen.lines[0].endswith("every 500 s  sandbox  rdctl rapiddisk list"))
    screen.child.sendintr()
    code, terminal = screen.end()
    assert (code, terminal.as_it_was) == (130, True)


def test_the_window_is_closed(watched: Callable[..., pexpect.spawn[str]]) -> None:
    screen = Screen(watched("rapiddisk", "list", "--watch", "0.1"))
    screen.see(lambda seen: bool(seen.lines))
    screen.child.close(force=False)
    assert (screen.child.exitstatus, screen.child.signalstatus) == (129, None)


def test_ctrl_z_and_back(process: Rdctl, watched: Callable[..., pexpect.spawn[str]]) -> None:
    """Through a shell with job control, as only that stops a program and lets it go on."""
    child: pexpect.spawn[str] = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile", "-i"],
        env={**process.env, "TERM": "dumb", "PS1": "ready> ", "INPUTRC": "/dev/null"},
        timeout=int(SECONDS),
        encoding="utf-8",
    )
    try:
        child.expect_exact("ready> ")
        words = " ".join([*process.argv, "-c", "sandbox", *LIST, "0.1"])
        child.sendline(f"TERM=xterm {words}")
        child.expect_exact("\x1b[?1049h")
        child.expect_exact("rd0")
        child.send("\x1a")
        child.expect_exact("\x1b[?25h\x1b[?1049l")
        child.expect_exact("ready> ")
        child.sendline("fg")
        child.expect_exact("\x1b[?1049h")
        child.expect_exact("rd0")
        child.send("\x03")
        child.expect_exact("\x1b[?25h\x1b[?1049l")
        child.expect_exact("ready> ")
        child.sendline("echo code=$?")
        child.expect_exact("code=130")
    finally:
        child.close(force=True)


def test_whole_lines_in_a_pipe(process: Rdctl) -> None:
    running = process.start("-c", "sandbox", *LIST, "0.1")
    assert running.stdout is not None
    first, second = running.stdout.readline(), running.stdout.readline()
    running.send_signal(signal.SIGINT)
    rest, err = running.communicate(timeout=SECONDS)
    assert (running.returncode, err) == (130, b"")
    assert rest == b"" or rest.endswith(b"\n")
    assert [json.loads(line)["device"] for line in (first, second)] == ["rd0", "rd0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("contexts", ["one", "one,two"])
def test_a_signal_waits_for_no_answer(process: Rdctl, contexts: str, number: int) -> None:
    with FaultServer([replies.inventory()] * 2 + [faults.silent()]) as server:
        for name in ("one", "two"):
            process("context", "set", name, f"rapiddisk={server.url}")
        running = process.start("-c", contexts, *LIST, "0.1")
        wait_until(lambda: len(server.requests) > 2 or running.poll() is not None)
        running.send_signal(number)
        out, err = running.communicate(timeout=SECONDS)
    assert running.returncode == 128 + number
    assert err == (
        b"" if number == signal.SIGINT else b"rdctl: error: terminated; nothing was changed\n"
    )
    assert out.count(b"\n") == 2


def test_a_signal_waits_for_none_of_several_answers(process: Rdctl) -> None:
    with FaultServer([faults.silent()]) as server:
        words = ("--oio-url", server.url, "--namespace", "NS", "--account", "A", "oio")
        running = process.start(*words, "container", "show", "a", "b", "--watch", "0.1")
        wait_until(lambda: len(server.requests) > 1 or running.poll() is not None)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=SECONDS)
    assert (running.returncode, err) == (130, b"")


def test_the_reader_left(process: Rdctl) -> None:
    words = ("-c", "sandbox", *LIST, "0.1")
    code, out, err = process.shell('set -o pipefail; "$@" | head -2', *words)
    assert (code, err) == (141, "")
    assert out.count("\n") == 2
