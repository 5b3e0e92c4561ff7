"""What destroys asks, and until somebody agreed nothing that changes anything is sent; nor is it by
a dry run."""

from __future__ import annotations

import re

import pytest

from tests.cli.oio.cases import ASKING, CASES, Case
from tests.cli.oio.conftest import Oio

# All that is to ask, by the design: the rest of each line is what makes it do so.
TO_ASK = """
container destroy|container destroy --flush|container destroy --force|container flush
container purge|container raw-insert|container raw-update|container raw-delete
container create --system|container set-properties --replace-all|container set-properties --system
container set-properties --quota
container del-properties --all|content create|content delete|content truncate
content purge|content drain
content set-properties --replace-all
content del-properties --all|reference destroy|reference destroy --force|reference unlink
reference force --replace|reference set-properties --replace-all|reference del-properties --all
conscience flush|conscience deregister|conscience lock|service kill|admin leave --service
admin leave --all|admin copy|admin freeze|admin disable|admin drop-cache
admin set-properties --replace-all|admin set-properties --system|admin del-properties --all|api POST
cache flush|reference relink|admin remove --service --service
account delete|account flush|account set-properties --replace-all|account del-properties --all
volume admin incident|volume admin unlock --force|volume admin clear|volume admin clear --all
"""


def named(case: Case) -> str:
    """The command, and the option that makes it ask."""
    flags = {"--flush", "--force", "--system", "--replace-all", "--all", "--replace", "--service"}
    flags |= {"--quota"}
    said = [word for word in case.argv if word in flags]
    return " ".join([case.verb, *said])


def test_all_that_is_to_ask_is_among_the_cases() -> None:
    assert {named(case) for case in ASKING} == set(TO_ASK.strip().replace("\n", "|").split("|"))


@pytest.mark.parametrize("case", ASKING, ids=lambda case: case.words)
def test_where_nobody_can_be_asked_nothing_is_sent(wire: Oio, case: Case) -> None:
    case.prepare(wire)
    wire.sent.clear()
    before = wire.state
    ran = wire(*case.argv, body=case.body)
    assert ran.code == 2
    assert f"\n  {case.asks}" in ran.err
    assert "--yes" in ran.err
    assert f"this would happen on {wire.where[1]}" in ran.err
    assert (ran.out, wire.changes, wire.state) == ("", [], before)
    ran = wire(*case.argv, "--json", body=case.body)
    assert ran.json["error"]["code"] == "consent-missing"
    assert wire.changes == []


@pytest.mark.parametrize(
    "case", [case for case in ASKING if case.body is None], ids=lambda case: case.words
)
def test_a_person_is_asked(wire: Oio, case: Case) -> None:
    case.prepare(wire)
    wire.sent.clear()
    before = wire.state
    for answer in (b"n\n", b"\n", b"", b"yes please\n"):
        ran = wire(*case.argv, tty=True, stdin=answer)
        assert ran.code == 1
        assert re.search(
            rf"^(  |On [^ ]+: ){re.escape(case.asks.rstrip(chr(46)))}", ran.err, re.MULTILINE
        )
        assert ran.err.count("Continue? [y/N]") == 1
        assert ran.err.endswith("Aborted.\n")
    assert (wire.changes, wire.state) == ([], before)
    ran = wire(*case.argv, tty=True, stdin=b"y\n")
    assert ran.code == case.code, ran.err
    assert ran.err.count("Continue? [y/N]") == 1
    assert wire.changes


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.asks], ids=lambda case: case.words
)
def test_what_destroys_nothing_does_not_ask(oio: Oio, case: Case) -> None:
    case.prepare(oio)
    assert oio(*case.argv, body=case.body).code == case.code


def test_a_protected_context_wants_more_than_yes(wire: Oio) -> None:
    url = wire.where[1]
    wire.rdctl(
        "context", "set", "live", f"oio={url}", "namespace=OPENIO", "account=sandbox",
        "protected=true",
    )  # fmt: skip
    wire.rdctl("context", "use", "live")
    words = ("oio", "container", "destroy", "photos", "--flush", "--yes")
    ran = wire.rdctl(*words)
    assert (ran.code, wire.changes) == (2, [])
    assert "on context live" in ran.err
    assert "Select it by name: -c live" in ran.err
    assert wire.rdctl("-c", "live", *words).code == 0
    assert [sent.route for sent in wire.changes] == ["container/flush", "container/destroy"]


def test_many_losses_are_counted(wire: Oio) -> None:
    names = [f"c{number}" for number in range(150)]
    wire.ok("container", "create", *names)
    wire.sent.clear()
    ran = wire("container", "destroy", *names)
    assert ran.code == 2
    assert '\n  container "c19" will be destroyed\n  and 130 more\n' in ran.err
    assert (len(ran.err.splitlines()), wire.changes) == (23, [])


# Dry runs; that they show what the real run does is held by tests/cli/test_dry_run.py -------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_a_dry_run_sends_no_change_and_a_trace_shows_all_that_is_sent(
    wire: Oio, case: Case
) -> None:
    case.prepare(wire)
    wire.sent.clear()
    assert wire(*case.argv, "--dry-run", body=case.body).code == 0
    assert wire.changes == []
    wire.sent.clear()
    real = wire(*case.argv, "--trace", "--yes", body=case.body)
    traced = [line for line in real.err.splitlines() if "curl -sS " in line]
    assert wire.changes
    for line, sent in zip(traced, wire.sent, strict=True):
        assert f" -X {sent.method} " in line
        assert f"/{sent.route}?{sent.query}".rstrip("?") in line


def test_a_dry_run_of_nothing_to_do_is_empty(wire: Oio) -> None:
    for words in (
        "container del-properties photos -",
        "conscience flush echo",
        "content touch c -",
    ):
        ran = wire(*words.split(), "--dry-run", "--json")
        assert (ran.code, ran.json["plan"], ran.json["status"]) == (0, [], "success")
        assert wire.changes == []
