"""A word that is nothing gets the one that was probably meant: in the hint, for people and in
JSON."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.oio.conftest import Oio
from tests.clock import Stopwatch
from tests.conftest import Program, Ran
from tests.fakes import faults
from tests.fakes.faults import FaultServer
from tests.fakes.kernel import FakeKernel

# In a sandbox with rd0, rd1, rd10, rc-wt_sdb and the contexts lab, store.
MEANT = {
    "rapidisk list": "rapiddisk",
    "rapiddisk lst": "list",
    "rapiddisk cache sta": "stats",
    "oio containr list photos": "container",
    "oio container shwo photos": "show",
    "--colums x rapiddisk list": "--columns",
    "rapiddisk --ouput json list": "--output",
    "rapiddisk list --dryrun": "--dry-run",
    "rapiddisk create 1M --overcomit": "--overcommit",
    "oio container list photos --delimeter /": "--delimiter",
    "context set lab --dry-rum account=x": "--dry-run",
    "rapiddisk list --columns device,sise": "size",
    "rapiddisk list --sort-by -usag": "usage",
    "rapiddisk list -o jsn": "json",
    "rapiddisk list --color allways": "always",
    "rapiddisk cache create rd0 sdb --policy writebak": "writeback",
    "rapiddisk nvmet port add 3 --transport tpc": "tcp",
    "completion bahs": "bash",
    "help exit": "exit-codes",
    "help Output": "output",
    "-c lap rapiddisk list": "lab",
    "context use stor": "store",
    "context show lap": "lab",
    "context remove Lab": "lab",
    "context set lab acount=x": "account",
    "rapiddisk lock rd01": None,
    "oio container show phtos": "photos",
    "oio container show Photos": "photos",
    "oio container list phtoos": "photos",
    "oio container destroy foto --yes": "photos",
    "oio container destroy x --yes": None,
    "oio container destroy phots --yes": "photos",
    "oio container set-properties photo a=b": "photos",
    "oio content list photo": "photos",
    "oio content show photo index.txt": "photos",
    "oio content show photos indx.txt": "index.txt",
    "oio content delete photos sea/strom.svg --yes": "sea/storm.svg",
    "oio content get-properties photos strom.svg": None,
    "oio reference show phots": "photos",
    "oio admin status phots": "photos",
    "oio content save photos index.txt": "get",
    "oio election status photos": "admin",
    "oio rdir show": "volume",
    "oio account show sandbx": "sandbox",
    "oio account containers --account sandbx": "sandbox",
    "oio conscience list rwax": "rawx",
    "oio conscience lock rawxx 127.0.0.1:16013 --yes": "rawx",
    "oio conscience lock rawx 127.0.0.1:1613 --yes": "127.0.0.1:16013",
    "rapiddisk show rd5": None,
}


@pytest.fixture
def lab(rdctl: Program, oio: Oio) -> Program:
    for words in (
        "-c sandbox rapiddisk create 64M --count 10",
        "-c sandbox rapiddisk remove rd2 rd3 rd4 rd5 rd6 rd7 rd8 rd9 --yes",
        "-c sandbox rapiddisk cache create rd1 sdb",
        "context set lab rapiddisk=http://127.0.0.1:9118",
        "context set store oio=http://127.0.0.1:6002",
    ):
        ran = rdctl(*words.split())
        assert ran.code == 0, ran.err
    return rdctl


def run(rdctl: Program, line: str, *more: str) -> Ran:
    words = line.split()
    where = () if "-c" in words else ("-c", "sandbox")
    return rdctl(*where, *words, *more)


@pytest.mark.parametrize("line", MEANT)
def test_the_word_that_was_meant(lab: Program, line: str) -> None:
    ran, document = run(lab, line), run(lab, line, "--json")
    assert ran.code == document.code in (2, 3)
    error = document.json.get("error") or document.json["errors"][0]
    shown = [text[6:] for text in ran.err.splitlines()[1:] if text.startswith("hint: ")]
    if MEANT[line] is None:
        assert "id you mean" not in ran.err + (error["hint"] or "")
        return
    # Words of rdctl are suggested in the message, names of things in the hint.
    if f'; did you mean "{MEANT[line]}"?' not in error["message"]:
        assert f"Did you mean {MEANT[line]}?" in error["hint"]
    assert set((error["hint"] or "").split("\n")) - {""} <= set(shown)
    assert ran.err.count("id you mean") == 1


def test_the_nearest_volume_is_only_suggested_where_not_all_are_listed(rdctl: Program) -> None:
    ran = run(rdctl, "rapiddisk show rd77")
    assert ran.err == "rdctl: error: volume rd77 not found\nhint: Existing volumes: rd0.\n"
    assert run(rdctl, "rapiddisk create 1M --count 9").code == 0
    assert "rd7, ...\nhint: Did you mean rd7?" in run(rdctl, "rapiddisk show rd77").err


def test_a_device_on_this_machine(kernel: FakeKernel, local: Callable[..., Ran]) -> None:
    kernel.add_volume(1)
    kernel.add_volume(2)
    kernel.add_port(1)
    ran = local("rapiddisk", "nvmet", "export", "rd11", "--port", "1", "--any-host", "--json")
    assert (ran.code, kernel.steps) == (3, 0)
    assert ran.json["errors"][0]["hint"] == "Existing volumes: rd1, rd2."
    nqn = "nqn.2021-06.org.rapiddisk:rdvm-rd1"
    assert local("rapiddisk", "nvmet", "export", "rd1", "--port", "1", "--any-host").code == 0
    ran = local("rapiddisk", "nvmet", "unexport", "--nqn", nqn[:-1] + "2", "--yes")
    assert (ran.code, f"Did you mean {nqn}?" in ran.err) == (3, True)


def test_a_name_comes_as_a_shell_takes_it(oio: Oio) -> None:
    oio.ok("container", "create", "my photos $1\n")
    assert "Did you mean $'my photos $1\\n'?" in oio("container", "show", "my photo $1").err


# What it costs -----------------------------------------------------------------------------------


def routes(oio: Oio) -> list[str]:
    return [sent.route for sent in oio.sent]


def test_several_names_are_not_looked_for(wire: Oio) -> None:
    """Who has thousands of names on standard input is not kept waiting for guesses."""
    many = "".join(f"phot{number}\n" for number in range(50)).encode()
    ran = wire("container", "destroy", "-", "--yes", stdin=many)
    assert ran.code == 3
    assert "Did you mean" not in ran.err
    assert set(routes(wire)) == {"container/show"}


def test_what_is_there_costs_nothing_more(wire: Oio) -> None:
    wire.ok("container", "show", "photos")
    assert "lb/choose" not in routes(wire)


@pytest.mark.parametrize(
    "then",
    [
        *(
            faults.close(),
            faults.http_error(503),
            faults.json({"status": 500, "message": "no"}, 500),
        ),
        *(faults.json([{"addr": "127.0.0.1:1"}]), faults.json({"odd": 1}), faults.garbage()),
    ],
    ids=["closed", "503", "500", "nobody there", "odd", "garbage"],
)
def test_a_look_that_fails_is_not_told_of(rdctl: Program, then: faults.Behaviour) -> None:
    missing = faults.json({"status": 406, "message": "no such user"}, 404)
    with FaultServer([missing, then]) as server:
        at = Oio(rdctl, "--oio-url", server.url, "--namespace", "NS", "--account", "me")
        ran = at("container", "show", "x", "--json")
        again = [request.path for request in server.requests].count(server.requests[-1].path)
    document = ran.json
    assert (ran.code, document.get("hint")) == (3, None)
    assert len(ran.err.splitlines()) == 2
    assert again == 1  # asked once


def test_a_look_does_not_wait_long(rdctl: Program) -> None:
    missing = faults.json({"status": 406, "message": "no such user"}, 404)
    watch = Stopwatch()
    with FaultServer([missing, faults.silent()]) as server:
        at = Oio(rdctl, "--oio-url", server.url, "--namespace", "NS", "--account", "me")
        ran = at("container", "show", "x")
        assert ran.code == 3
        assert watch.quiet < 4
