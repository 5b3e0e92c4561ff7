"""rdctl check: its line, its states, and that every failure is UNKNOWN."""

from __future__ import annotations

import re
import signal

import pytest

from rdctl.cli.options import GLOBALS
from rdctl.completion.kinds import VALUES
from rdctl.core.plugin import VALUED, is_check, line
from rdctl.metrics.check import KEYS
from rdctl.metrics.thresholds import parse_range, shown
from tests.cli.processes import Rdctl, process, wait_until
from tests.conftest import Program, Ran
from tests.doctor.conftest import NQN, Run, healthy
from tests.doctor.test_exposure import HOST, PUBLIC, exported
from tests.fakes.faults import FaultServer, silent
from tests.fakes.kernel import NVMET, FakeKernel
from tests.fakes.rapiddiskd import Cache, Daemon, Volume
from tests.rapiddisk.keys import ONE_KEY

__all__ = ["healthy", "process"]  # fixtures

STATES = ["OK", "WARNING", "CRITICAL", "UNKNOWN"]
# As plugins write a value: 'LABEL'=VALUE[UNIT];[WARNING];[CRITICAL];[MINIMUM];[MAXIMUM]
VALUE = re.compile(r"(?:[^' =]+|'(?:[^']|'')+')=-?[0-9.]+(?:B|s|%)?(?:;[^; ]*){0,4}")
MISSING = 'schema = "rdctl.rapiddisk.state/1"\n[volumes.rd9]\nsize = "8MiB"\n'


def of(ran: Ran) -> tuple[str, str, list[str]]:
    """State, text and values; all on one line, and with the exit code of the state."""
    (words,) = ran.out.splitlines()
    match = re.fullmatch(r"RDCTL (\w+) - ([^|]+?)(?: \| ([^|]+))?", words)
    assert match, words
    assert ran.code == STATES.index(match[1])
    values = (match[3] or "").split(" ") if match[3] else []
    for value in values:
        assert VALUE.fullmatch(value), value
    return match[1], match[2], values


# Ranges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "unit", "normal", "alerts", "written"),
    [
        ("10", "", [0, 10], [-1, 10.1], "10"),
        ("10:", "", [10, 99], [9.9], "10:"),
        ("~:10", "", [-5, 10], [11], "~:10"),
        ("10:20", "", [10, 20], [9, 21], "10:20"),
        ("@10:20", "", [9, 21], [10, 20], "@10:20"),
        ("@20", "", [21, -1], [0, 20], "@20"),
        ("~:", "", [-9, 9], [], "~:"),
        ("0:", "", [0, 9], [-1], "0:"),
        (":5", "", [0, 5], [6], "5"),
        ("-5:-1.5", "", [-5, -1.5], [0, -6], "-5:-1.5"),
        (".5:", "", [0.5], [0.4], "0.5:"),
        ("10%:", "%", [10], [9], "10:"),
        ("1GiB", "B", [1 << 30], [(1 << 30) + 1], "1073741824"),
        ("1k:2MB", "B", [1024, 2e6], [1023], "1024:2000000"),
    ],
)
def test_ranges(
    text: str, unit: str, normal: list[float], alerts: list[float], written: str
) -> None:
    found = parse_range(text, unit)
    assert [found.alerts(value) for value in normal] == [False] * len(normal)
    assert [found.alerts(value) for value in alerts] == [True] * len(alerts)
    assert found.text == written


@pytest.mark.parametrize("text", ["", "@", "x", "1:2:3", "20:10", "10%", "1G", "nan", "1e3", "--1"])
def test_what_is_not_a_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_range(text, "")


def test_numbers_have_no_exponent() -> None:
    assert [shown(n) for n in (0, 1e15, 0.005, 1 / 3)] == ["0", "1000000000000000", "0.01", "0.33"]


# States -----------------------------------------------------------------------------------------


def test_all_is_well(sandbox: Run) -> None:
    state, text, values = of(sandbox("check"))
    assert state == "OK"
    assert text.startswith("memory ")
    labels = [value.split("=")[0] for value in values]
    assert labels[:3] == ["memory", "overcommit", "volumes"]
    assert "services-down=0;0;;0" in values
    assert "dirty=0B;;;0" in values
    assert "missing" not in labels


def test_thresholds(sandbox: Run) -> None:
    ran = sandbox("check", "--warning", "volumes=0", "--critical", "caches=1:")
    assert of(ran)[:2] == ("CRITICAL", "caches 0, volumes 1")
    ran = sandbox("check", "--warning=volumes=0", "--warning=exports=@1")
    assert of(ran)[:2] == ("WARNING", "volumes 1, exports 1")
    assert "volumes=1;0;;0" in of(ran)[2]
    assert of(sandbox("check", "rapiddisk", "--warning", "services-down=5"))[:2] == (
        "UNKNOWN",
        "services-down is not known",
    )


def test_defaults_can_be_replaced(sandbox: Run) -> None:
    sandbox("oio", "conscience", "lock", "rawx", "127.0.0.1:16013", "--yes")
    down = "services-down 1 (rawx 127.0.0.1:16013)"
    assert of(sandbox("check"))[:2] == ("WARNING", down)
    assert of(sandbox("check", "--warning", "services-down=1"))[0] == "OK"
    assert of(sandbox("check", "--critical", "services-down=0"))[:2] == ("CRITICAL", down)
    for address in ("127.0.0.1:16018", "127.0.0.1:16019"):
        sandbox("oio", "conscience", "lock", "rdir", address, "--yes")
    state, text, _ = of(sandbox("check"))
    assert (state, text.split(", ")[0]) == ("CRITICAL", "types-down 1 (rdir)")


def test_a_machine_that_lacks_something(healthy: Run, kernel: FakeKernel) -> None:
    kernel.map_cache("rc-wb_sdb", "rd0", "sdb", dirty=512)
    kernel.put("etc/rdctl/rapiddisk.toml", MISSING)
    state, text, values = of(healthy("check", "--warning", "dirty=1MiB"))
    assert (state, text) == ("CRITICAL", "missing 1, dirty 2097152 B (rc-wb_sdb)")
    assert "dirty=2097152B;1048576;;0" in values
    kernel.put("etc/rdctl/rapiddisk.toml", "volumes = 7\n")
    kernel.tear_out("rd1")
    state, text, _ = of(healthy("check"))
    assert (state, text) == ("CRITICAL", "failed-caches 1 (rc-wt_vdb), state-file 1")


def test_exports_that_are_open(healthy: Run, kernel: FakeKernel) -> None:
    assert "exposed-exports=0;0;;0" in of(healthy("check"))[2]
    exported(kernel, PUBLIC)
    assert of(healthy("check"))[:2] == ("WARNING", f"exposed-exports 1 ({NQN})")
    kernel.put(f"{NVMET}/ports/1/addr_tsas", "tls1.3\n")
    kernel.put(f"{NVMET}/ports/1/addr_treq", "required\n")
    assert of(healthy("check"))[0] == "WARNING"
    kernel.put(f"{NVMET}/hosts/{HOST}/dhchap_key", f"{ONE_KEY}\n")
    assert of(healthy("check"))[0] == "OK"
    kernel.put(f"{NVMET}/ports/1/addr_treq", "not required\n")
    assert of(healthy("check"))[0] == "WARNING"
    exported(kernel, "10.0.2.15", any_host=True)
    assert of(healthy("check"))[0] == "OK"
    exported(kernel, "0.0.0.0", any_host=True)
    assert of(healthy("check"))[:2] == ("WARNING", f"exposed-exports 1 ({NQN})")


def test_dirty_data_that_is_not_reported(rdctl: Program) -> None:
    volumes = {"rd0": Volume(64)}
    for caches, known in (({}, True), ({"rc-wb_vdb": Cache("rd0", "vdb")}, False)):
        with Daemon(volumes=volumes, caches=caches) as daemon:
            ran = rdctl("--rapiddisk-url", daemon.url, "check", "--critical", "dirty=0")
        assert ("dirty=0B;;0;0" in of(ran)[2]) is known
        assert ("dirty is not known" in of(ran)[1]) is not known


def test_what_cannot_be_read_is_unknown(healthy: Run, kernel: FakeKernel) -> None:
    kernel.root_user = False
    state, text, _ = of(healthy("check"))
    assert state == "UNKNOWN"
    assert text.startswith("rapiddisk_cache_stats: ")
    state, text, _ = of(healthy("check", "--critical", "volumes=0"))
    assert (state, text.startswith("volumes 2, rapiddisk_cache_stats: ")) == ("CRITICAL", True)


def test_as_data(sandbox: Run) -> None:
    ran = sandbox("check", "--warning", "volumes=0", "--json")
    assert (ran.code, ran.json["state"], ran.json["unread"]) == (1, "WARNING", [])
    (volumes,) = [value for value in ran.json["values"] if value["key"] == "volumes"]
    assert volumes == {
        "key": "volumes",
        "state": "WARNING",
        "value": 1,
        "unit": None,
        "warning": "0",
        "critical": None,
        "names": [],
    }


def test_several_contexts(rdctl: Program, healthy: Run, kernel: FakeKernel) -> None:
    rdctl("context", "set", "here", "rapiddisk=local")
    rdctl("context", "set", "gone", "rapiddisk=http://127.0.0.1:1")
    state, text, values = of(rdctl("-c", "here,sandbox", "check", "rapiddisk"))
    assert state == "OK"
    assert "here: volumes 2" in text
    assert "here/volumes=2;;;0" in values
    state, text, _ = of(rdctl("-c", "here,gone,sandbox", "check", "rapiddisk"))
    assert state == "UNKNOWN"
    assert text.startswith("gone: rapiddisk_inventory and ")
    words = ("check", "rapiddisk", "--warning", "volumes=1")
    state, text, _ = of(rdctl("-c", "here,gone,sandbox", *words))
    assert (state, text.startswith("here: volumes 2, gone: ")) == ("WARNING", True)


def test_a_line_that_is_not_cut(rdctl: Program) -> None:
    """Nagios keeps 8 KiB, and the values are at the end."""
    for number in range(25):
        rdctl("context", "set", f"gone{number}", "rapiddisk=http://127.0.0.1:1")
    state, text, _ = of(rdctl("-c", "gone*,sandbox", "check", "rapiddisk"))
    assert state == "UNKNOWN"
    first, *rest, last = text.split(", ")
    refused = "no connection to http://127.0.0.1:1: Connection refused"
    assert first == f"gone0: rapiddisk_inventory and 3 more: {refused}"
    assert (len(rest), last) == (19, "and 5 more")


# Failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check", "--bogus"], 'unknown option "--bogus"'),
        (["--bogus", "check"], 'unknown option "--bogus"'),
        (["check", "everything"], 'invalid value "everything" for rapiddisk/oio: must be '),
        (["check", "oio", "oio"], 'unexpected argument "oio"'),
        (["check", "--timeout", "x"], 'invalid value "x" for --timeout: must be a number'),
        (["--timeout", "-1", "check"], "--timeout: "),
        (["check", "--warning", "memory"], 'invalid value "memory" for --warning: '),
        (["check", "--warning", "memry=1"], 'unknown key "memry" for --warning; did you mean'),
        (["check", "--critical", "memory=20:10"], 'invalid range "20:10" for --critical memory'),
        (["check", "--critical"], "option --critical requires a value"),
        (["-c", "nothere", "check"], 'context "nothere" not found'),
        (["-qcnothere", "check"], 'context "nothere" not found'),
        (["-c", "a,b", "check"], 'context "a" not found'),
        (["--rapiddisk-url", "x", "check"], "--rapiddisk-url: "),
        (["--rapiddisk-url", "http://127.0.0.1:1", "check"], "rapiddisk_inventory and "),
        (["check", "oio"], "no oio-proxy configured"),
        (["check", "--local", "--rapiddisk-url", "http://h"], "--local and --rapiddisk-url are"),
        (["check", "--color", "x"], 'invalid value "x" for --color'),
    ],
)
def test_every_failure_is_unknown(rdctl: Program, words: list[str], says: str) -> None:
    ran = rdctl(*words, env={"RDCTL_DEBUG": ""})
    state, text, values = of(ran)
    assert (state, values, ran.err) == ("UNKNOWN", [], "")
    assert text.startswith(says)


def test_a_failure_as_data(rdctl: Program) -> None:
    ran = rdctl("-c", "nothere", "check", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "not-found")


def test_a_configuration_that_cannot_be_read(rdctl: Program) -> None:
    rdctl.config.write_text("[contexts\n")
    assert of(rdctl("check"))[0] == "UNKNOWN"


def test_a_server_that_does_not_reply(rdctl: Program) -> None:
    with FaultServer([silent()]) as frozen:
        ran = rdctl("--rapiddisk-url", frozen.url, "check", "--timeout", "1")
    assert of(ran)[0] == "UNKNOWN"


def test_help_is_no_failure(rdctl: Program) -> None:
    ran = rdctl("check", "--help")
    assert (ran.code, ran.err) == (0, "")
    for key in KEYS:
        assert f" {key.name} - " in " ".join(ran.out.split())


def test_others_keep_their_exit_codes(rdctl: Program) -> None:
    assert rdctl("-c", "nothere", "oio", "content", "check", "x").code == 3
    assert rdctl("-c", "sandbox", "oio", "content", "check", "nothere").code == 3
    assert rdctl("--output", "check", "rapiddisk", "list").code == 2
    assert rdctl("help", "check", "x").code == 2


def test_the_verb_is_found_behind_any_option() -> None:
    valued = {
        spelling
        for option in GLOBALS
        for spelling in option.spellings
        if option.value is not None and spelling.startswith("--")
    }
    assert set(VALUED) == valued
    flags = [one.spellings[-1] for one in GLOBALS if one.value is None]
    for words in ([*flags, "check"], *([option, "x", "check"] for option in valued)):
        assert is_check(words)
    assert is_check(["-qcx", "-oyaml", "-c", "check", "check"])
    assert not is_check(["-c", "check"])
    assert not is_check(["--account=check", "rapiddisk"])
    assert not is_check([])


def test_all_keys_are_completed() -> None:
    assert VALUES["KEY=RANGE"] == tuple(f"{key.name}=" for key in KEYS)


def test_the_line_is_one_line() -> None:
    assert line(3, "a |b\n c\t") == "RDCTL UNKNOWN - a /b c"


# As a process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("redirected", [">/dev/full", ">&-"])
def test_output_that_cannot_be_written(process: Rdctl, redirected: str) -> None:
    assert process.shell(f'"$@" {redirected}', "-c", "sandbox", "check")[0] == 3


def test_a_reader_that_has_gone(process: Rdctl) -> None:
    script = '"$@" | true; echo "${PIPESTATUS[0]}"'
    # It may have written before the reader ends.
    assert process.shell(script, "-c", "sandbox", "check")[1] in ("3\n", "0\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(process: Rdctl, number: signal.Signals) -> None:
    with (
        FaultServer([silent()]) as frozen,
        process.start("--rapiddisk-url", frozen.url, "check", "--timeout", "60") as running,
    ):
        wait_until(lambda: frozen.requests)
        running.send_signal(number)
        out, _ = running.communicate()
    assert (running.returncode, out.decode().split(" - ")[0]) == (3, "RDCTL UNKNOWN")


def test_a_python_that_is_too_old(process: Rdctl) -> None:
    script = (
        "import sys; sys.version_info = (3, 9); sys.argv = ['rdctl', {!r}];"
        " import rdctl.__main__ as program; program.main()"
    )
    for verb, code in (("check", 3), ("doctor", 1)):
        process.argv = (process.argv[0], "-c", script.format(verb))
        assert process()[0] == code
