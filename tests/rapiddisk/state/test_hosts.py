"""Hosts with keys in a state file, which names files: compared, applied, dumped, pruned."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from rdctl.core.errors import RdctlError
from rdctl.rapiddisk.state import document, nvmetcli
from tests.conftest import Program
from tests.fakes.kernel import NVMET, FakeKernel
from tests.rapiddisk.keys import ALL_KEYS, CTRL_KEY, ONE_KEY, TWO_KEY, key_file, written_in
from tests.rapiddisk.state.machines import (
    EXPORT,
    FILE,
    HOST,
    NQN,
    PORT,
    SCHEMA,
    differences,
    run,
)
from tests.rapiddisk.state.machines import machine as empty_machine

VOLUME = '\n[volumes.rd3]\nsize = "16MiB"\n'
AUTH = f"{NVMET}/hosts/{HOST}"


def machine(rdctl: Program, root: Path, text: str) -> FakeKernel:
    """One that can authenticate hosts, and has TLS."""
    kernel = empty_machine(rdctl, root, text)
    kernel.has_auth = kernel.has_tls = True
    return kernel


def rows(rdctl: Program) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = run(rdctl, "diff --json").json["items"]
    return items


def state(home: Path, host: str | None = 'auth_key_file = "{one}"', port: str = PORT) -> str:
    keys = home / "keys"
    keys.mkdir(exist_ok=True)
    files = {
        "one": key_file(keys, "one.key", ONE_KEY),
        "two": key_file(keys, "two.key", TWO_KEY),
        "ctrl": key_file(keys, "ctrl.key", CTRL_KEY),
    }
    table = "" if host is None else f'\n[hosts."{HOST}"]\n{host.format(**files)}\n'
    return SCHEMA + VOLUME + port + table + EXPORT


def applied(rdctl: Program, text: str, words: str = "apply") -> FakeKernel:
    kernel = machine(rdctl, rdctl.home / "root", text)
    ran = run(rdctl, words)
    assert ran.code == 0, ran.err
    assert not any(key in ran.out + ran.err for key in ALL_KEYS)
    kernel.steps = 0
    return kernel


FULL = 'auth_key_file = "{one}"\nctrl_key_file = "{ctrl}"\nhash = "sha512"\ndhgroup = "ffdhe3072"'


def test_a_host_gets_its_key_before_the_export(rdctl: Program) -> None:
    kernel = machine(rdctl, rdctl.home / "root", state(rdctl.home, FULL))
    lines = run(rdctl, "apply --trace").err.splitlines()
    order = [
        next(number for number, line in enumerate(lines) if word in line)
        for word in ("dhchap_hash", "dhchap_key", "allowed_hosts")
    ]
    assert order == sorted(order)
    names = ("key", "ctrl_key", "hash", "dhgroup")
    values = [kernel.text(f"{AUTH}/dhchap_{name}") for name in names]
    assert values == [ONE_KEY, CTRL_KEY, "hmac(sha512)", "ffdhe3072"]
    assert differences(rdctl) == []
    kernel.steps = 0
    assert (run(rdctl, "apply").code, kernel.steps) == (0, 0)
    assert written_in(rdctl.home, but=(rdctl.home / "keys", kernel.path(NVMET))) == []


def test_a_dump_names_the_files(rdctl: Program) -> None:
    applied(rdctl, state(rdctl.home, FULL))
    text = run(rdctl, "dump").out
    for name in ("one", "ctrl"):
        assert f'_key_file = "{rdctl.home}/keys/{name}.key"' in text
    assert (run(rdctl, "apply -", stdin=text.encode()).out) == "-: no changes\n"


def test_a_dump_names_the_file_that_was_given_last(rdctl: Program) -> None:
    """The same key in another file, or first from standard input."""
    applied(rdctl, state(rdctl.home, FULL))
    words = f"nvmet host set {HOST} --yes --auth-key-file"
    moved = key_file(rdctl.home / "keys", "moved.key", ONE_KEY)
    run(rdctl, f"{words} {moved} --dry-run")
    assert "one.key" in run(rdctl, "dump").out
    assert "already has this key" in run(rdctl, f"{words} {moved}").out
    text = run(rdctl, "dump").out
    assert (f'"{moved}"' in text, "one.key" in text, "ctrl.key" in text) == (True, False, True)
    run(rdctl, f"{words} -", stdin=f"{TWO_KEY}\n".encode())
    assert 'auth_key_file = ""' in run(rdctl, "dump").out
    run(rdctl, f"{words} {rdctl.home}/keys/two.key")
    ran = run(rdctl, "dump")
    assert (f'"{rdctl.home}/keys/two.key"' in ran.out, ran.err) == (True, "")


def test_a_dump_of_a_key_of_another_tool(rdctl: Program) -> None:
    """It must not become an export without a key, nor keep a boot from all else."""
    kernel = applied(rdctl, state(rdctl.home, None))
    kernel.put(f"{AUTH}/dhchap_key", f"{TWO_KEY}\n")
    ran = run(rdctl, "dump")
    assert 'auth_key_file = ""' in ran.out
    assert f"host {HOST}: the file of its key is not known" in ran.err
    assert TWO_KEY not in ran.out + ran.err
    assert run(rdctl, "apply -", stdin=ran.out.encode()).out == "-: no changes\n"
    fresh = machine(rdctl, rdctl.home / "fresh", ran.out)
    assert run(rdctl, "apply").code == 2
    assert fresh.steps == 0
    booted = run(rdctl, "apply --boot")
    assert booted.code == 8
    assert f"host {HOST}: auth_key_file is empty" in booted.err
    assert (list(fresh.volumes), fresh.path(f"{NVMET}/subsystems/{NQN}").exists()) == ([3], False)


@pytest.mark.parametrize(
    ("host", "key", "machine_has"),
    [
        ('auth_key_file = "{two}"', "auth_key_file", "another key"),
        ('auth_key_file = "{one}"\nctrl_key_file = "{ctrl}"', "ctrl_key_file", None),
        ('auth_key_file = "{one}"\nhash = "sha384"', "hash", "sha256"),
        ('auth_key_file = "{one}"\ndhgroup = "ffdhe2048"', "dhgroup", "null"),
    ],
)
def test_what_differs(rdctl: Program, host: str, key: str, machine_has: str | None) -> None:
    kernel = applied(rdctl, state(rdctl.home))
    kernel.put(FILE, state(rdctl.home, host))
    (row,) = rows(rdctl)
    found = (row["kind"], row["name"], row["state"], row["key"], row["machine"])
    assert found == ("host", HOST, "differs", key, machine_has)
    ran = run(rdctl, "apply --yes")
    assert ran.code == 0, ran.err
    assert differences(rdctl) == []


def test_a_key_in_use_asks(rdctl: Program) -> None:
    kernel = applied(rdctl, state(rdctl.home))
    kernel.put(FILE, state(rdctl.home, 'auth_key_file = "{two}"'))
    ran = run(rdctl, "apply")
    assert (ran.code, kernel.steps) == (2, 0)
    assert f"host {HOST} will need the new key to connect again to {NQN}" in ran.err
    assert run(rdctl, "apply --boot").code == 8
    assert kernel.text(f"{AUTH}/dhchap_key") == ONE_KEY


def test_a_controller_key_that_the_file_lacks_is_removed(rdctl: Program) -> None:
    kernel = applied(rdctl, state(rdctl.home, FULL))
    kernel.put(FILE, state(rdctl.home))
    assert run(rdctl, "apply --yes").code == 0
    assert kernel.text(f"{AUTH}/dhchap_ctrl_key") == ""
    assert kernel.path(f"{NVMET}/subsystems/{NQN}/allowed_hosts/{HOST}").is_symlink()


@pytest.mark.parametrize("fault", ["missing", "open to others", "damaged"])
def test_a_key_file_that_cannot_be_used(rdctl: Program, fault: str) -> None:
    """No export is made for the host, and --boot does the rest."""
    text = state(rdctl.home)
    file = rdctl.home / "keys" / "one.key"
    if fault == "missing":
        file.unlink()
    elif fault == "damaged":
        file.write_text("DHHC-1:00:AAAA:\n")
    else:
        file.chmod(0o644)
    kernel = machine(rdctl, rdctl.home / "root", text)
    ran = run(rdctl, "apply")
    assert ran.code in (2, 3, 4)
    assert kernel.steps == 0
    assert str(file) in ran.err
    assert run(rdctl, "apply --boot").code == 8
    assert list(kernel.volumes) == [3]
    assert not kernel.path(f"{NVMET}/subsystems/{NQN}").exists()


def test_a_key_file_that_is_gone_later(rdctl: Program) -> None:
    applied(rdctl, state(rdctl.home))
    file = rdctl.home / "keys" / "one.key"
    file.unlink()
    ran = run(rdctl, "diff")
    assert (ran.code, f"key file {file} not found" in ran.err) == (3, True)
    assert f"hint: See /{FILE}, line " in ran.err


def test_a_key_that_the_kernel_refuses_at_boot(rdctl: Program) -> None:
    """The export waits for it."""
    kernel = machine(rdctl, rdctl.home / "root", state(rdctl.home))
    kernel.has_auth = False
    assert run(rdctl, "apply --boot").code == 8
    assert not kernel.path(f"{NVMET}/subsystems/{NQN}").exists()


def test_a_failure_restores_the_former_key(rdctl: Program) -> None:
    kernel = applied(rdctl, state(rdctl.home))
    kernel.put(FILE, state(rdctl.home, FULL.replace("{one}", "{two}")) + VOLUME.replace("3", "4"))
    before = kernel.snapshot()
    for step in range(1, 7):
        kernel.steps = 0
        kernel.fail_at(step, errno.EIO)
        ran = run(rdctl, "apply --yes")
        assert ran.code == 1, ran.err
        assert kernel.snapshot() == before


def test_prune_removes_the_key_that_apply_set(rdctl: Program) -> None:
    kernel = applied(rdctl, state(rdctl.home))
    kernel.put(FILE, state(rdctl.home, None))
    (row,) = rows(rdctl)
    assert (row["kind"], row["state"]) == ("host", "extra")
    assert (run(rdctl, "apply").code, kernel.steps) == (0, 0)
    ran = run(rdctl, "apply --prune")
    assert ran.code == 2
    assert "any client that uses its name can connect" in ran.err
    assert run(rdctl, "apply --prune --yes").code == 0
    assert kernel.text(f"{AUTH}/dhchap_key") == ""
    assert differences(rdctl) == []


def test_prune_of_all_removes_the_host(rdctl: Program) -> None:
    kernel = applied(rdctl, state(rdctl.home))
    kernel.put(FILE, SCHEMA + VOLUME + PORT)
    assert run(rdctl, "apply --prune --yes").code == 0
    assert not kernel.path(AUTH).exists()
    assert differences(rdctl) == []


def test_apply_only_exports_sets_keys(rdctl: Program) -> None:
    text = state(rdctl.home)
    kernel = machine(rdctl, rdctl.home / "root", text)
    assert run(rdctl, "apply --only caches").code == 0
    assert not kernel.path(AUTH).exists()
    assert run(rdctl, "apply --only exports").code == 0
    assert kernel.text(f"{AUTH}/dhchap_key") == ONE_KEY


# --- TLS ------------------------------------------------------------------------------------------


def test_a_port_with_tls(rdctl: Program) -> None:
    kernel = applied(rdctl, state(rdctl.home, port=f"{PORT}tls = true\n"))
    assert kernel.text(f"{NVMET}/ports/1/addr_tsas") == "tls1.3"
    assert differences(rdctl) == []
    text = run(rdctl, "dump").out
    assert "tls = true" in text
    assert "addr_t" not in text
    assert '"tsas": "tls1.3"' in run(rdctl, "dump --nvmetcli").out
    kernel.put(FILE, text.replace("tls = true\n", ""))
    (row,) = rows(rdctl)
    assert (row["key"], row["file"], row["machine"]) == ("tls", False, True)


def test_the_attribute_is_read_as_tls() -> None:
    """Earlier releases wrote it so."""
    text = f'{SCHEMA}{PORT}[ports.1.attributes]\naddr_tsas = "tls1.3"\n'
    (port,) = document.parse("f", text).ports
    assert (port.tls, port.attributes) == (True, ())
    with pytest.raises(RdctlError, match='tls requires transport "tcp"'):
        document.parse("f", f'{SCHEMA}[ports.2]\ntransport = "loop"\ntls = true\n')
    (again,) = nvmetcli.parse("f", nvmetcli.text(document.parse("f", text)))[0].ports
    assert (again.tls, again.attributes) == (True, ())
    text = f'{SCHEMA}{PORT}tls = true\n[ports.1.attributes]\naddr_treq = "required"\n'
    (port,) = document.parse("f", text).ports
    assert (port.tls, port.attributes) == (True, ())


def test_a_port_where_tls_is_optional(rdctl: Program) -> None:
    both = '[ports.1.attributes]\naddr_treq = "not required"\naddr_tsas = "tls1.3"\n'
    kernel = applied(rdctl, state(rdctl.home, port=f"{PORT}{both}"))
    read = [kernel.text(f"{NVMET}/ports/1/{name}") for name in ("addr_tsas", "addr_treq")]
    assert read == ["tls1.3", "not required"]
    assert differences(rdctl) == []
    text = run(rdctl, "dump").out
    assert "tls = true" not in text
    assert document.parse("f", text).ports[0].attributes == (
        ("addr_treq", "not required"),
        ("addr_tsas", "tls1.3"),
    )
    saved = run(rdctl, "dump --nvmetcli").out
    assert ('"treq": "not required"' in saved, '"tsas": "tls1.3"' in saved) == (True, True)
    assert not nvmetcli.parse("f", saved)[0].ports[0].tls
    with pytest.raises(RdctlError, match='port 1: tls requires that addr_treq is "required"'):
        document.parse("f", f"{SCHEMA}{PORT}tls = true\n{both}")


@pytest.mark.parametrize(
    "unnamed", ['auth_key_file = ""', 'auth_key_file = "{one}"\nctrl_key_file = ""']
)
def test_what_the_next_boot_cannot_export_is_known_before(rdctl: Program, unnamed: str) -> None:
    kernel = applied(rdctl, state(rdctl.home))
    assert run(rdctl, "boot status --json").json["item"]["warnings"] == []
    kernel.put(FILE, state(rdctl.home, unnamed))
    (found,) = run(rdctl, "boot status --json").json["item"]["warnings"]
    assert found["message"] == (
        f"not exported to {HOST} at the next boot: the file of its key is not named"
    )
