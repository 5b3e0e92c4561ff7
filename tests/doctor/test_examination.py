"""rdctl doctor as a whole: what it says of what is well, how it looks, what does not end."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest

from rdctl.doctor.findings import SECONDS
from tests.clock import Stopwatch
from tests.conftest import Program
from tests.doctor.conftest import (
    LOCALLY,
    OIO,
    OWN,
    REMOTELY,
    TCP_HEAD,
    Run,
    at,
    checks,
    examined,
    of,
    understood,
    wrong,
)
from tests.fakes.faults import FaultServer, silent
from tests.fakes.kernel import FakeKernel


def test_a_new_sandbox_is_well(sandbox: Run) -> None:
    rows = examined(sandbox, code=0)
    assert checks(rows) == [*OWN, *LOCALLY, *OIO]
    assert {row["severity"] for row in rows} == {"ok", "skipped"}
    deep = examined(sandbox, "--deep", code=0)
    assert checks(deep) == checks(rows)
    assert [row["severity"] for row in of(deep, "exports") + of(deep, "masters")] == ["ok", "ok"]


def test_its_daemon_is_well(served: Run) -> None:
    rows = examined(served, code=0)
    assert checks(rows) == [*OWN, *REMOTELY, "oio"]
    deep = examined(served, "--deep", code=0)
    assert checks(deep) == checks(rows)
    assert [row["severity"] for row in of(deep, "exports")] == ["ok"]
    (skipped,) = of(rows, "exports")
    assert (skipped["severity"], skipped["mend"]) == ("skipped", None)
    assert skipped["message"].endswith("can crash rapiddiskd 9.2 (use --deep)")


def test_a_healthy_machine_is_well(healthy: Run) -> None:
    rows = examined(healthy, "--fail-on", "warning", code=0)
    assert checks(rows) == [*OWN, *LOCALLY, "oio"]
    skipped = {row["check"] for row in rows if row["severity"] == "skipped"}
    assert skipped - {"libraries"} == {"oio"}
    (told,) = of(rows, "oio")
    assert "OIO_PROXYD_URL" in told["why"]


def test_a_machine_with_nothing(rdctl: Program) -> None:
    """Not even a kernel; what to do comes with it."""
    rows = examined(rdctl, code=1)
    assert checks(rows) == [*OWN, *LOCALLY, "oio"]
    (module,) = [row for row in rows if row["severity"] == "error"]
    assert module["message"] == "the kernel module rapiddisk is not loaded"
    assert module["mend"].removeprefix("sudo ") == "modprobe rapiddisk"
    assert "rapiddisk-dkms" in module["why"]
    (caches,) = of(rows, "caches")
    assert (caches["severity"], caches["message"]) == ("skipped", "not checked: see modules")


def test_a_context_without_rapiddisk(rdctl: Program) -> None:
    rdctl("context", "set", "store", "oio=http://127.0.0.1:1", "namespace=NS")
    rows = examined(at(rdctl, "-c", "store"), code=1)
    assert checks(rows) == [*OWN, "rapiddisk", *OIO]
    (row,) = of(rows, "rapiddisk")
    assert row["severity"] == "skipped"
    assert "rdctl context set store rapiddisk=" in row["why"]


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("warning", 1)])
def test_what_fails_is_chosen(sandbox: Run, fail_on: str, code: int) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    ran = sandbox("doctor", "--fail-on", fail_on)
    assert (ran.code, ran.err) == (code, "")


def test_a_configuration_that_cannot_be_read_is_an_error_of_its_own(rdctl: Program) -> None:
    rdctl.config.write_text("nonsense = 1\n")
    ran = rdctl("doctor", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "config")


def test_nothing_is_changed(healthy: Run, kernel: FakeKernel, sandbox: Run) -> None:
    kernel.map_cache("rc-wb_sdb", "rd0", "sdb", dirty=9)
    examined(healthy, "--deep")
    assert kernel.steps == 0
    assert not kernel.path("run/rdctl.lock").exists()
    before = sandbox("rapiddisk", "list", "--json").out
    examined(sandbox, "--deep")
    assert sandbox("rapiddisk", "list", "--json").out == before


def test_what_mends_it_goes_where_the_doctor_went(rdctl: Program, sandbox: Run) -> None:
    """However that was said."""
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    words = "oio conscience unlock rawx 127.0.0.1:16013"
    mends = {
        wrong(examined(run), "services")["mend"]
        for run in (sandbox, at(rdctl, env={"RDCTL_CONTEXT": "sandbox"}))
    }
    assert mends == {f"rdctl -c sandbox {words}"}
    rdctl("context", "use", "sandbox")
    assert wrong(examined(rdctl), "services")["mend"] == f"rdctl {words}"


def test_several_contexts(rdctl: Program, sandbox: Run) -> None:
    """Each row and each command names its own, and one error is enough."""
    with FaultServer([silent()]) as server:
        pass
    rdctl("context", "set", "lab", f"rapiddisk={server.url}")
    ran = rdctl("-c", "sandbox,lab", "doctor", "--json")
    assert (ran.code, ran.json["complete"]) == (1, True)
    (error,) = [row for row in ran.json["items"] if row["severity"] == "error"]
    assert (error["context"], error["check"]) == ("lab", "daemon")
    assert "rdctl -c lab context show" in error["why"]


# --- how it looks -------------------------------------------------------------------------------


def test_what_is_wrong_stands_out_on_a_terminal(sandbox: Run) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    ran = sandbox("doctor", tty=True, width=80)
    assert "\x1b[33mwarning" in ran.out
    assert "\x1b[32mok" in ran.out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", ran.out)
    lines = plain.splitlines()
    assert max(map(len, lines)) <= 80
    at = next(n for n, line in enumerate(lines) if line.startswith("warning"))
    told = [line.strip() for line in lines[at + 1 : at + 5]]
    assert told[-2:] == ["$ rdctl -c sandbox oio conscience unlock rawx \\", "127.0.0.1:16013"]
    # What is parted is still one command to a shell.
    pasted = "\n".join(told[-2:]).removeprefix("$ ")
    assert understood(pasted.replace("\\\n", ""))


def test_in_a_pipe_it_says_the_same(sandbox: Run) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    shown = sandbox("doctor").out
    assert shown.startswith("SEVERITY  CHECK      FINDING\nok        python     Python 3.")
    assert "\n" + " " * 21 + "$ rdctl -c sandbox oio conscience unlock" in shown
    by_column = sandbox("doctor", "--columns", "check,mend").out.splitlines()
    assert "services   $ rdctl -c sandbox oio conscience unlock rawx 127.0.0.1:16013" in by_column
    names = sandbox("doctor", "-o", "name").out.split()
    assert list(dict.fromkeys(names)) == [*OWN, *LOCALLY, *OIO]
    query = "[?severity=='warning'].mend"
    (mend,) = sandbox("doctor", "--query", query).out.splitlines()
    assert mend == "rdctl -c sandbox oio conscience unlock rawx 127.0.0.1:16013"


def test_what_nobody_foresaw_is_a_finding(healthy: Run, kernel: FakeKernel) -> None:
    """A check that breaks does not break the others."""
    kernel.put("proc/net/tcp", f"{TCP_HEAD}   0: nonsense\n")
    ran = healthy("doctor", "--json")
    assert (ran.code, ran.err) == (1, "")
    row = wrong(ran.json["items"], "exposure")
    assert row["message"].startswith("internal error: IndexError")
    assert checks(ran.json["items"]) == [*OWN, *LOCALLY, "oio"]


@pytest.fixture
def stuck(healthy: Run, kernel: FakeKernel) -> Iterator[Run]:
    """A machine on which a file never ends."""
    pipe = kernel.path("proc/net/tcp")
    os.mkfifo(pipe)
    yield healthy
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


def test_a_check_that_does_not_end(stuck: Run) -> None:
    watch = Stopwatch()
    rows = examined(stuck, code=0)
    assert watch.quiet < SECONDS + 1
    (row,) = [row for row in rows if row["severity"] == "warning"]
    assert (row["check"], row["message"]) == ("exposure", "check timed out (2 s)")


def test_a_check_has_the_time_of_the_command(stuck: Run) -> None:
    watch = Stopwatch()
    (row,) = [row for row in examined(stuck, "--timeout", "0.5") if row["severity"] == "warning"]
    assert watch.quiet < SECONDS
    assert (row["check"], row["message"]) == ("exposure", "check timed out (0.5 s)")


def test_the_findings_are_data(sandbox: Run) -> None:
    """The same keys in the formats that have rows."""
    lines = sandbox("doctor", "-o", "ndjson").out.splitlines()
    assert {tuple(json.loads(line)) for line in lines} == {
        ("severity", "check", "subject", "message", "why", "mend")
    }
