"""What goes to the other machine with a command, and what stays here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Program, Ran
from tests.remote.nursery import FAULT, Fault, Nursery

Call = Callable[..., Ran]


def test_names_are_read_here_and_those_that_failed_are_kept_here(
    far: Call, sandbox: Call, rdctl: Program
) -> None:
    assert sandbox("rapiddisk", "create", "1M", "--count", "2").code == 0
    failed = rdctl.home / "failed"
    ran = far("rapiddisk", "lock", "-", "--failed", str(failed), stdin=b"rd1\nrd9\nrd2\n")
    assert (ran.code, ran.out) == (8, "locked rd1\nlocked rd2\n")
    assert ran.err.startswith("rdctl: error: line 2: volume rd9 not found\n")
    assert failed.read_text() == "rd9\n"
    ran = far("rapiddisk", "unlock", "-", "--ndjson", stdin=b'{"name": "-"}\n')
    assert ran.code == 2, "a name like that of standard input is not read as it"
    assert "-" in ran.err
    ran = far("rapiddisk", "rm", "rd1", "rd2", "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert '"rm" takes one name, on one context' in ran.err


def test_without_names_nothing_is_asked_there(far: Call, rdctl: Program, nursery: Nursery) -> None:
    ran = far("rapiddisk", "lock", "-", stdin=b"")
    assert (ran.code, ran.out) == (0, "")
    assert not nursery.words.exists()


def test_several_contexts_are_confirmed_in_one_question(
    far: Call, sandbox: Call, rdctl: Program, nursery: Nursery
) -> None:
    text = rdctl.config.read_text()
    rdctl.config.write_text(text + text.replace("contexts.far", "contexts.away"))
    words, path = ("rapiddisk", "create", "1M"), {"PATH": nursery.path}
    ran = rdctl("-c", "far,away", *words, tty=True, stdin=b"y\n", env=path)
    assert ran.err.count("Continue? [y/N]") == 1
    assert "far: create a volume of 1.0 MiB" in ran.err
    assert "away: create a volume of 1.0 MiB" in ran.err
    assert (ran.code, ran.out.count("created")) == (0, 2)
    assert sandbox("rapiddisk", "list", "-o", "name").out == "rd0\nrd1\nrd2\n"
    ran = rdctl("-c", "far,away", *words, env=path)
    assert (ran.code, ran.out) == (2, "")
    assert sandbox("rapiddisk", "list", "-o", "name").out == "rd0\nrd1\nrd2\n"


def test_both_sides_record_a_change(far: Call, rdctl: Program) -> None:
    assert (
        far("rapiddisk", "create", "1M", env={"SSH_CONNECTION": "192.0.2.7 1 192.0.2.1 22"}).code
        == 0
    )
    (there,) = far("history", "--json").json["items"]
    assert there["command"] == "rdctl rapiddisk create 1M"
    assert re.fullmatch(r"\S+@\S+, logged in as \S+@192\.0\.2\.7", there["origin"])
    assert [act["name"] for act in there["acts"]] == ["rd1"]
    (here,) = rdctl("--local", "history", "--json").json["items"]
    assert (here["command"], here["contexts"]) == ("rdctl -c far rapiddisk create 1M", ["far"])
    assert (here["origin"], here["acts"]) == (None, [])
    assert here["effects"] == there["effects"]
    shown = far("history", there["id"]).out
    assert there["origin"] in shown


def test_an_undo_asks_here_and_acts_there(far: Call, sandbox: Call) -> None:
    assert far("rapiddisk", "create", "1M").code == 0
    ran = far("rapiddisk", "undo", tty=True, stdin=b"y\n")
    assert "undoing" in ran.err
    assert "On context far: volume rd1 (1.0 MiB, empty) will be removed. Continue? [y/N]" in ran.err
    assert "rd1" not in sandbox("rapiddisk", "list", "-o", "name").out


def test_no_change_is_made_there_without_a_required_record_here(
    far: Call, sandbox: Call, rdctl: Program
) -> None:
    config = rdctl.root / "etc/rdctl/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('audit = "required"\n')
    (rdctl.root / "var/log").mkdir(parents=True)
    (rdctl.root / "var/log/rdctl").write_text("in the way of a directory")
    ran = far("rapiddisk", "create", "1M")
    assert (ran.code, ran.out) == (1, "")
    assert "history not written" in ran.err
    assert sandbox("rapiddisk", "list", "-o", "name").out == "rd0\n"


def test_a_protected_context_needs_more_than_yes(
    far: Call, rdctl: Program, nursery: Nursery
) -> None:
    rdctl.config.write_text(rdctl.config.read_text() + "protected = true\n")
    path = {"PATH": nursery.path}
    ran = rdctl("-c", "f*", "rapiddisk", "create", "1M", "--yes", env=path)
    assert ran.code == 2
    assert "--yes is not sufficient: context far is protected" in ran.err


def test_the_time_limit_holds_there(far: Call) -> None:
    ran = far("rapiddisk", "list", "--timeout", "0.000001")
    assert ran.code in (6, 7)


def test_errors_are_documents_here(far: Call) -> None:
    error = far("rapiddisk", "show", "rd7", "--json").json["error"]
    assert (error["code"], error["target"]) == ("not-found", "rd7")
    assert json.dumps(error["hint"])


def test_a_watch_keeps_its_connection(far: Call, rdctl: Program, nursery: Nursery) -> None:
    naps = iter(range(3))

    def nap(seconds: float) -> None:
        if next(naps, None) is None:
            raise KeyboardInterrupt

    rdctl.sleep = nap
    ran = far("rapiddisk", "list", "--watch=1", "-o", "ndjson")
    assert (ran.code, ran.err) == (130, "")
    assert [json.loads(line)["device"] for line in ran.out.splitlines()] == ["rd0"] * 3
    assert len(nursery.words.read_text().splitlines()) == 1


# --- contexts that lead to the same place -----------------------------------------------------


def _same(rdctl: Program, names: list[str]) -> None:
    text = rdctl.config.read_text()
    rdctl.config.write_text("".join(text.replace("contexts.far", f"contexts.{n}") for n in names))


def test_they_share_a_login_to_read(far: Call, rdctl: Program, nursery: Nursery) -> None:
    names = [f"n{number}" for number in range(5)]
    _same(rdctl, names)
    path = {"PATH": nursery.path}
    ran = rdctl("-c", "n*", "rapiddisk", "list", "--json", env=path)
    assert ran.code == 0
    assert [row["context"] for row in ran.json["items"]] == names
    assert len(nursery.words.read_text().splitlines()) == 1
    ran = rdctl("-c", "n*", "rapiddisk", "list", "rd0", "rd7", "-o", "name", env=path)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("volume rd7 not found") == 5
    # What they change, each does with its own: none waits for a confirmation of another.
    nursery.words.unlink()
    assert rdctl("-c", "n0,n1", "rapiddisk", "lock", "rd0", "--yes", env=path).code == 0
    assert len(nursery.words.read_text().splitlines()) == 2


def test_what_refuses_one_of_them_refuses_all(rdctl: Program, far: Call, tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(5)]
    _same(rdctl, names)
    ssh = tmp_path / "refusing" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/sh\necho x >> {tmp_path}/tries\necho No way >&2\nexit 255\n")
    ssh.chmod(0o755)
    path = f"{ssh.parent}{os.pathsep}{os.environ['PATH']}"
    ran = rdctl("-c", "n*", "rapiddisk", "list", "--json", env={"PATH": path})
    assert ran.code == 6
    contexts = [one["context"] for one in ran.json["errors"]]
    assert contexts == names
    assert (tmp_path / "tries").read_text() == "x\n"


def test_one_that_is_lost_is_started_again(far: Call, rdctl: Program, nursery: Nursery) -> None:
    names = [f"n{number}" for number in range(3)]
    _same(rdctl, names)
    fault = Fault(number=2, do="drop")
    env = {"PATH": nursery.path, FAULT: json.dumps(fault._asdict())}
    ran = rdctl("-c", "n*", "rapiddisk", "list", env=env)
    assert ran.code == 6
    assert ran.err.count("connection to node7 lost") == 3
    assert len(nursery.words.read_text().splitlines()) == 3
