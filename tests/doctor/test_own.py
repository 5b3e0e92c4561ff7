"""rdctl itself: what it runs on, its configuration, where it goes."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable

import pytest

from rdctl.core.floors import FLOORS
from tests.conftest import Program, Ran
from tests.doctor.conftest import (
    Run,
    at,
    examined,
    heal,
    of,
    wrong,
)
from tests.fakes.rapiddiskd import Daemon


def test_what_it_runs_on(sandbox: Run) -> None:
    rows = examined(sandbox)
    (python,), (libraries,) = of(rows, "python"), of(rows, "libraries")
    assert (python["severity"], libraries["severity"]) == ("ok", "ok")
    assert python["message"].startswith("Python 3.")
    found = [one.split() for one in libraries["message"].split(", ")]
    assert [name for name, version in found if version[0].isdigit()] == list(FLOORS)


@pytest.mark.parametrize(
    ("mode", "severity", "mend"),
    [(0o600, "ok", None), (0o644, "warning", "chmod 600"), (0o622, "error", "chmod go-w")],
)
def test_who_can_see_the_configuration(
    rdctl: Program, sandbox: Run, mode: int, severity: str, mend: str | None
) -> None:
    rdctl.config.write_text('current = "sandbox"\n')
    rdctl.config.chmod(mode)
    first, *_ = of(examined(sandbox), "config")
    assert first["severity"] == severity
    assert first["mend"] == (mend and f"{mend} {rdctl.config}")
    if mend:
        subprocess.run(shlex.split(first["mend"]), check=True)
        assert [row["severity"] for row in of(examined(sandbox), "config")] != ["error"]
        assert first not in of(examined(sandbox), "config")


def test_the_files_of_the_machine_may_be_read(rdctl: Program, sandbox: Run) -> None:
    file = rdctl.root / "etc/rdctl/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[contexts.lab]\nrapiddisk = "local"\n')
    file.chmod(0o644)
    (row,) = of(examined(sandbox, code=0), "config")
    assert (row["severity"], row["message"]) == ("ok", f"read {file}")


def test_the_files_that_contexts_name(rdctl: Program, sandbox: Run) -> None:
    token = rdctl.home / "token"
    token.write_text("secret\n")
    token.chmod(0o644)
    url = "rapiddisk=https://127.0.0.1:1"
    rdctl("context", "set", "lab", url, "token_file=~/token")
    rdctl("context", "set", "attic", url, f"ca={rdctl.home}/gone.pem")
    rdctl("context", "set", "empty", "namespace=NS")
    lab, attic, empty, fine = of(examined(sandbox, code=1), "config")
    assert (lab["severity"], lab["subject"]) == ("warning", "lab token_file")
    assert lab["mend"] == f"chmod 600 {token}"
    assert (attic["severity"], attic["subject"]) == ("error", "attic ca")
    assert "No such file or directory" in attic["message"]
    assert (empty["severity"], empty["mend"]) == ("warning", "rdctl context remove empty")
    assert fine["severity"] == "ok"
    heal(rdctl, empty["mend"])
    token.chmod(0o600)
    assert [row["subject"] for row in of(examined(sandbox), "config")] == ["attic ca", None]


def test_a_current_context_that_is_not_there(rdctl: Program, sandbox: Run) -> None:
    rdctl.config.write_text('current = "gone"\n')
    rdctl.config.chmod(0o600)
    row = wrong(examined(sandbox, code=0), "config")
    assert row["mend"] == "rdctl context use sandbox"
    heal(rdctl, row["mend"])
    assert len(of(examined(sandbox), "config")) == 1


def test_where_it_goes_and_what_is_not_listened_to(rdctl: Program) -> None:
    rdctl("context", "set", "lab", "rapiddisk=http://127.0.0.1:1", "protected=true")
    env = {"OIO_PROXYD_URL": "http://127.0.0.1:2", "RDCTL_RAPIDDISK_URL": "http://127.0.0.1:1"}
    there, hidden = of(examined(at(rdctl, "-c", "lab", env=env)), "context")
    assert there["message"] == "RapidDisk at http://127.0.0.1:1, from context lab (-c), protected"
    assert (hidden["severity"], hidden["subject"]) == ("warning", "OIO_PROXYD_URL")
    assert hidden["mend"] == "unset OIO_PROXYD_URL"
    # Where it holds, and in the sandbox, nobody needs to be told.
    held = examined(at(rdctl, env={"OIO_NS": "NS"}))
    assert [row["message"] for row in of(held, "context")] == ["RapidDisk at local, by default"]
    shown = examined(at(rdctl, "-c", "sandbox", env=env))
    assert {row["severity"] for row in of(shown, "context")} == {"ok"}


def test_a_token_that_is_not_sent(rdctl: Program) -> None:
    token = rdctl.home / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    with Daemon() as daemon:
        env = {"RDCTL_TOKEN_FILE": str(token)}
        rows = examined(at(rdctl, "--rapiddisk-url", daemon.url, env=env))
    row = wrong(rows, "context")
    assert row["message"] == f"token_file of RDCTL_TOKEN_FILE is not sent to {daemon.url}"


def test_a_history_that_cannot_be_written(rdctl: Program, served: Callable[..., Ran]) -> None:
    path = rdctl.home / "history.ndjson"
    env = {"RDCTL_HISTORY": str(path)}

    def finding(**environ: str) -> tuple[str, str]:
        rows = served("doctor", "--json", env=environ).json["items"]
        (row,) = (row for row in rows if row["check"] == "history")
        return row["severity"], row["message"]

    assert finding(**env) == ("ok", f"kept in {path}")
    assert not path.exists()
    path.mkdir()
    assert finding(**env) == ("warning", f"{path} cannot be written: not a regular file")
    file = rdctl.home / "file"
    file.write_text("")
    env = {"RDCTL_HISTORY": f"{file}/new/history.ndjson"}
    message = f"{file}/new/history.ndjson cannot be written: Not a directory"
    assert finding(**env) == ("warning", message)
    system = rdctl.root / "etc/rdctl/config.toml"
    system.parent.mkdir(parents=True)
    system.write_text('audit = "required"\n')
    assert finding(**env) == ("error", message)
