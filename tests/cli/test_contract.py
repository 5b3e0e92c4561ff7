"""The contract with scripts, end to end: streams, documents, exit codes, consent, dry runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import yaml

from tests.cli.replies import counters, failed, inventory, success, targets
from tests.conftest import Program, Ran
from tests.fakes.faults import Behaviour, FaultServer, close, garbage, reply

Sandbox = Callable[..., Ran]
FORMATS = ["table", "json", "ndjson", "yaml", "csv", "tsv", "name"]
CACHES = ("rc-wt_sda", "rc-wt_sdb")


def asked(rdctl: Program, script: Sequence[Behaviour], *words: str) -> Ran:
    """One command against a server of this script."""
    with FaultServer(script) as server:
        return rdctl("--rapiddisk-url", server.url, "--retries", "0", "rapiddisk", *words)


# Documents ---------------------------------------------------------------------------------------


def test_an_error_before_the_first_row_is_a_document_of_its_own(rdctl: Program) -> None:
    script = [inventory(caches=CACHES), garbage()]
    ran = asked(rdctl, script, "cache", "stats", "--json")
    assert ran.code == 9
    assert list(ran.json) == ["schema", "error"]
    assert ran.json["error"]["code"] == "bad-reply"


def test_an_error_after_it_closes_the_document(rdctl: Program) -> None:
    script = [inventory(caches=CACHES), counters(CACHES[0]), close()]
    ran = asked(rdctl, script, "cache", "stats", "--json")
    assert ran.code == 6
    assert [row["device"] for row in ran.json["items"]] == [CACHES[0]]
    assert ran.json["complete"] is False
    assert ran.json["error"]["code"] == "unreachable"
    assert ran.json["error"]["message"] in ran.err


@pytest.mark.parametrize("format", ["table", "ndjson", "csv", "tsv", "name"])
def test_in_lines_the_rows_stop(rdctl: Program, format: str) -> None:
    script = [inventory(caches=CACHES), counters(CACHES[0]), close()]
    ran = asked(rdctl, script, "cache", "stats", "-o", format)
    assert ran.code == 6
    assert CACHES[0] in ran.out.splitlines()[-1]
    assert CACHES[1] not in ran.out
    assert ran.err.startswith("rdctl: error: http://127.0.0.1")


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_listing_is_no_error(rdctl: Program, format: str) -> None:
    ran = asked(rdctl, [inventory([])], "list", "-o", format)
    assert ran.code == 0
    assert ran.err == ("No volumes.\n" if format == "table" else "")
    if format == "json":
        assert ran.json["items"] == []


@pytest.mark.parametrize("format", FORMATS)
def test_an_error_in_every_format(sandbox: Sandbox, format: str) -> None:
    ran = sandbox("rapiddisk", "show", "rd1", "-o", format)
    assert ran.code == 3
    message = "volume rd1 not found"
    assert ran.err == f"rdctl: error: {message}\nhint: Existing volumes: rd0.\n"
    if format in ("json", "ndjson", "yaml"):
        document = yaml.safe_load(ran.out)
        assert document["error"] == {
            "code": "not-found",
            "message": message,
            "hint": "Existing volumes: rd0.",
            "target": "rd1",
        }
    else:
        assert ran.out == ""


HOSTILE = 'rd0\n\x1b[2J\x9b\u202e"\\,\t\udcff'


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("tty", [False, True])
def test_a_server_cannot_harm_a_terminal(rdctl: Program, format: str, tty: bool) -> None:
    """With what it calls its devices, nor with the words of an error."""
    for script, verb in (
        ([inventory([HOSTILE, "rd1"])], ["list"]),
        ([inventory(["rd0"]), failed(HOSTILE)], ["lock", "rd0"]),
    ):
        with FaultServer(script) as server:
            words = ["--rapiddisk-url", server.url, "rapiddisk", *verb, "-o", format]
            ran = rdctl(*words, tty=tty, env={"NO_COLOR": "1"})
        if verb == ["list"]:
            assert ran.code == (9 if format == "name" else 0)
        else:
            assert ran.code == 1
        assert all(char.isprintable() or char in "\n\t" for char in ran.out + ran.err)
        assert "\t" not in ran.out or format == "tsv"
        if format == "json" and verb == ["list"]:
            assert ran.json["items"][0]["device"] == HOSTILE
            assert (
                ran.json["items"][0]["name_hex"] == HOSTILE.encode("utf-8", "surrogateescape").hex()
            )


def test_bytes_that_are_not_utf_8_stay_what_they_are(rdctl: Program) -> None:
    script = [inventory(["rd\udcff\ud83d\ude00"])]
    with FaultServer(script) as server:
        ran = rdctl("--rapiddisk-url", server.url, "rapiddisk", "list", "-0")
    assert ran.stdout == b"rd\xff\xf0\x9f\x98\x80\0"


def test_nothing_but_data_is_on_stdout(sandbox: Sandbox) -> None:
    ran = sandbox("rapiddisk", "create", "1M", "--trace", "-o", "name")
    assert ran.out == "rd1\n"
    assert "[sandbox]\n" in ran.err
    assert "echo 'rapiddisk attach 1 1048576' > /sys/kernel/rapiddisk/mgmt\n" in ran.err
    quiet = sandbox("rapiddisk", "create", "1M", "-q")
    assert (quiet.out, quiet.err) == ("", "")


def test_nor_is_a_request_on_stdout(served: Sandbox) -> None:
    ran = served("rapiddisk", "create", "1M", "--trace", "-o", "name")
    assert ran.out == "rd1\n"
    assert "curl -sS -X POST" in ran.err


# Several targets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "code", "status"),
    [
        ("rd1 rd2", 0, "success"),
        ("rd1 rd9", 8, "partial"),
        ("rd8 rd9", 3, "error"),
        ("rd0 rd9", 1, "error"),  # one is in use, the other does not exist
        ("rd0", 4, "error"),
    ],
)
def test_the_exit_code_of_several(sandbox: Sandbox, names: str, code: int, status: str) -> None:
    sandbox("rapiddisk", "create", "1M", "--count", "2")
    ran = sandbox("rapiddisk", "remove", *names.split(), "--yes", "--json")
    assert (ran.code, ran.json["status"]) == (code, status)
    told = [outcome["target"] for outcome in ran.json["results"] + ran.json["errors"]]
    assert sorted(told) == sorted(names.split())
    for failure in ran.json["errors"]:
        assert f"rdctl: error: {failure['message']}" in ran.err


@pytest.mark.parametrize("text", [b"rd1\nrd2\n", b"rd1\0rd2\0", b"rd1\n\nrd2"])
def test_names_from_standard_input(sandbox: Sandbox, text: bytes) -> None:
    sandbox("rapiddisk", "create", "1M", "--count", "2")
    assert sandbox("rapiddisk", "list", "-", "-o", "name", stdin=text).out == "rd1\nrd2\n"
    ran = sandbox("rapiddisk", "remove", "-", "--yes", "-o", "name", stdin=text)
    assert (ran.code, ran.out) == (0, "rd1\nrd2\n")


@pytest.mark.parametrize("verb", ["list", "remove", "flush", "cache stats", "cache remove"])
def test_no_names_on_standard_input_are_no_targets(sandbox: Sandbox, verb: str) -> None:
    """Least of all do they mean everything."""
    ran = sandbox("rapiddisk", *verb.split(), "-", "--json")
    assert ran.code == 0
    assert ran.json.get("items", ran.json.get("results")) == []
    assert len(sandbox("rapiddisk", "list", "--json").json["items"]) == 1


def test_a_name_that_is_not_utf_8_reaches_the_check(sandbox: Sandbox) -> None:
    ran = sandbox("rapiddisk", "remove", "-", "--yes", "--json", stdin=b"caf\xe9\n")
    assert ran.code == 2
    assert ran.json["error"]["target"] == "caf\udce9"
    assert 'invalid volume name "caf\\xe9"' in ran.err


# Consent -----------------------------------------------------------------------------------------

REMOVE = ("rapiddisk", "remove", "rd1")


@pytest.fixture
def lab(sandbox: Sandbox) -> Sandbox:
    sandbox("rapiddisk", "create", "64M")
    return sandbox


def is_there(sandbox: Sandbox) -> bool:
    return sandbox("rapiddisk", "show", "rd1").code == 0


def test_where_nobody_can_be_asked_nothing_is_done(lab: Sandbox) -> None:
    ran = lab(*REMOVE, "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "consent-missing"
    assert ran.json["error"]["losses"] == ["volume rd1 (64.0 MiB, empty) will be removed"]
    assert "on context sandbox" in ran.err
    assert "volume rd1 (64.0 MiB, empty) will be removed" in ran.err
    assert is_there(lab)


@pytest.mark.parametrize("answer", [b"", b"\n", b"n\n", b"no\n", b"what?\n", b"yep\n"])
def test_anything_but_yes_is_no(lab: Sandbox, answer: bytes) -> None:
    ran = lab(*REMOVE, tty=True, stdin=answer)
    assert (ran.code, ran.out) == (1, "")
    question = ran.err.splitlines()[0]
    assert question.startswith(
        "On context sandbox: volume rd1 (64.0 MiB, empty) will be removed. Continue? [y/N] "
    )
    assert ran.err.endswith("Aborted.\n")
    assert is_there(lab)


def test_several_losses_are_listed(lab: Sandbox) -> None:
    assert lab("rapiddisk", "create", "1M").code == 0
    ran = lab("rapiddisk", "remove", "rd1", "rd2", tty=True, stdin=b"n\n")
    head, *losses, question = ran.err.splitlines()
    assert head == "The following will happen on context sandbox:"
    assert losses == [
        "  volume rd1 (64.0 MiB, empty) will be removed",
        "  volume rd2 (1.0 MiB, empty) will be removed",
    ]
    assert question == "Continue? [y/N] Aborted."


def test_what_a_daemon_cannot_check_is_said_before(served: Sandbox) -> None:
    assert served("rapiddisk", "create", "64M").code == 0
    ran = served(*REMOVE, tty=True, stdin=b"n\n")
    unchecked, question = ran.err.splitlines()[:2]
    assert unchecked.startswith("Not checked over REST: mounts, swap, loop devices and open files.")
    assert question.startswith(
        "On context served: volume rd1 (64.0 MiB, empty) will be removed. Continue? [y/N] "
    )
    assert is_there(served)
    assert served("rapiddisk", "create", "1M").code == 0
    ran = served("rapiddisk", "remove", "rd1", "rd2", tty=True, stdin=b"n\n")
    unchecked, head, *_ = ran.err.splitlines()
    assert unchecked.startswith("Not checked over REST: ")
    assert head == "The following will happen on context served:"


@pytest.mark.parametrize("answer", [b"y\n", b"Y\n", b"yes\n", b" YES \n", b"y"])
def test_yes(lab: Sandbox, answer: bytes) -> None:
    ran = lab(*REMOVE, tty=True, stdin=answer)
    assert (ran.code, ran.out) == (0, "removed rd1\n")
    assert not is_there(lab)


def test_one_question_for_all(lab: Sandbox) -> None:
    lab("rapiddisk", "create", "1M")
    ran = lab("rapiddisk", "remove", "rd1", "rd2", tty=True, stdin=b"y\n")
    assert ran.code == 0
    assert ran.err.count("[y/N]") == 1
    assert (
        "  volume rd1 (64.0 MiB, empty) will be removed\n"
        "  volume rd2 (1.0 MiB, empty) will be removed\n" in ran.err
    )


def test_the_question_names_where(rdctl: Program) -> None:
    with FaultServer([inventory(["rd1"]), targets()]) as server:
        ran = rdctl("--rapiddisk-url", server.url, *REMOVE)
    assert ran.code == 2
    assert f"this would happen on {server.url}:" in ran.err


def test_a_question_can_be_read(rdctl: Program) -> None:
    """Of very many losses only some are told."""
    names = [f"rd{number}" for number in range(25)]
    with FaultServer([inventory(names), targets()]) as server:
        ran = rdctl("--rapiddisk-url", server.url, "rapiddisk", "flush", *names)
    assert ran.err.count("will be ERASED") == 20
    assert "  and 5 more\n" in ran.err


def test_names_that_came_from_standard_input_leave_nobody_to_ask(lab: Sandbox) -> None:
    """Who answers cannot be who is piped."""
    assert lab("rapiddisk", "remove", "-", stdin=b"rd1\ny\n").code == 2
    assert is_there(lab)


@pytest.mark.parametrize("words", [["--dry-run"], ["--dry-run", "--yes"]])
def test_a_dry_run_asks_nothing_and_does_nothing(lab: Sandbox, words: list[str]) -> None:
    ran = lab(*REMOVE, *words, tty=True)
    assert ran.code == 0
    assert "y/N" not in ran.err
    assert ran.out.startswith("would remove rd1\nconfirmation required:\n  volume rd1 ")
    assert is_there(lab)


PROTECTED = """
current = "lab"
[contexts.lab]
rapiddisk = "{url}"
protected = true
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [([], 2), (["--yes"], 2), (["--yes", "-c", "lab"], 0), (["--yes", "--rapiddisk-url"], 0)],
)
def test_a_protected_context_wants_to_be_named(rdctl: Program, words: list[str], code: int) -> None:
    script = [inventory(["rd1"]), targets(), success(), inventory([])]
    with FaultServer(script) as server:
        rdctl.config.write_text(PROTECTED.format(url=server.url))
        words = [*words, server.url] if "--rapiddisk-url" in words else words
        ran = rdctl(*REMOVE, *words)
        assert ran.code == code, ran.err
        sent = [request.method for request in server.requests]
    assert ("POST" in sent) == (code == 0)
    if "--yes" in words and code:
        assert "Select it by name: -c lab" in ran.err


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("--rapiddisk-url", "oio admin freeze docs --yes"),
        ("--oio-url", "rapiddisk remove rd1 --yes"),
        ("--local", "oio admin freeze docs --yes"),
    ],
)
def test_the_address_of_the_other_system_does_not_name_a_protected_one(
    rdctl: Program, other: str, words: str
) -> None:
    with FaultServer([inventory(["rd1"]), targets(), success()]) as server:
        text = PROTECTED.format(url=server.url) + f'oio = "{server.url}"\nnamespace = "NS"\n'
        rdctl.config.write_text(text + 'account = "me"\n')
        address = [] if other == "--local" else ["http://127.0.0.1:1"]
        ran = rdctl(other, *address, *words.split())
        assert (ran.code, "is protected" in ran.err) == (2, True), ran.err
        assert "POST" not in [request.method for request in server.requests]


# Dry runs ----------------------------------------------------------------------------------------


def test_a_dry_run_of_a_change_of_the_configuration(rdctl: Program) -> None:
    words = ("context", "set", "lab", "rapiddisk=local")
    plan = rdctl(*words, "--dry-run")
    assert (plan.code, plan.out) == (0, 'would create context "lab"\n')
    traced = rdctl(*words, "--dry-run", "--trace")
    assert traced.err == f"write {rdctl.config}\n"
    assert not rdctl.config.exists()
    assert rdctl(*words, "--trace").err == traced.err


def test_a_dry_run_fails_where_the_real_one_would(lab: Sandbox) -> None:
    ran = lab("rapiddisk", "remove", "rd1", "rd0", "rd9", "--dry-run", "--json")
    assert ran.code == 8
    assert [change["target"] for change in ran.json["results"]] == ["rd1"]
    assert [failure["code"] for failure in ran.json["errors"]] == ["in-use", "not-found"]
    assert lab("rapiddisk", "show", "rd9", "--dry-run").code == 3


# Warnings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "told"), [([], 1), (["-q"], 0), (["--json"], 1)])
def test_an_old_daemon_is_warned_of_once(rdctl: Program, words: list[str], told: int) -> None:
    status = reply(200, b'{"status": "OK", "version": "8.0.0"}\n')
    ran = asked(rdctl, [status], "status", *words)
    assert ran.code == 0
    assert ran.err.count("rdctl: warning: rapiddiskd 8.0.0 ") == told
    assert "8.0.0" in ran.out
