"""Keys of hosts, and ports with TLS, on a kernel that has them; on others, that this is said.

Debian 12's own kernel has neither. `RDCTL_KERNEL=VERSION tests/kernel/run -k auth` boots another
one that is installed, with RapidDisk's modules.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import NO_NVMET, NVMET
from tests.kernel.test_nvmet import HOST, add_port, disconnect, disks_of, nqn

NODE = NVMET / "hosts" / HOST


def can_authenticate() -> bool:
    NODE.mkdir()
    try:
        return (NODE / "dhchap_key").exists()
    finally:
        NODE.rmdir()


def can_encrypt() -> bool:
    node = NVMET / "ports" / "77"
    node.mkdir()
    try:
        (node / "addr_trtype").write_text("tcp")
        (node / "addr_tsas").write_text("tls1.3")
    except OSError:
        return False
    finally:
        node.rmdir()
    return True


@pytest.fixture
def authenticates() -> None:
    if not can_authenticate():
        pytest.skip(f"Linux {os.uname().release} cannot authenticate hosts")


class Key:
    """A key of nvme-cli, in a file of its owner."""

    def __init__(self, directory: Path, name: str, *more: str) -> None:
        self.text = machine.tool("nvme", "gen-dhchap-key", *more).strip()
        path = directory / name
        path.write_text(f"{self.text}\n")
        path.chmod(0o600)
        self.file = str(path)


def connects(*more: str) -> bool:
    """Whether a client gets the disk."""
    done = subprocess.run(
        [
            *("nvme", "connect", "--transport=tcp", "--traddr=127.0.0.1", "--trsvcid=4420"),
            *(f"--nqn={nqn('rd0')}", f"--hostnqn={HOST}", f"--hostid={HOST.rsplit(':', 1)[1]}"),
            *("--nr-io-queues=1", *more),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        machine.until(lambda: disks_of(nqn("rd0")), "the client's disk")
    disconnect()
    return done.returncode == 0


def secret(key: Key) -> str:
    return f"--dhchap-secret={key.text}"


def exported(rdctl: Program, key: Key, *more: str) -> None:
    machine.attach(0)
    add_port(rdctl)
    rdctl.ok(
        *("nvmet", "export", "rd0", "--port", "1", "--host", HOST),
        *("--auth-key-file", key.file, *more),
    )


def test_only_the_right_key_connects(rdctl: Program, authenticates: None, tmp_path: Path) -> None:
    one, two = Key(tmp_path, "one.key"), Key(tmp_path, "two.key", "--hmac=2", f"--nqn={HOST}")
    exported(rdctl, one)
    for name in ("dhchap_key", "dhchap_hash"):
        private = not stat.S_IMODE((NODE / name).stat().st_mode) & 0o077
        assert private is (name == "dhchap_key")
    assert rdctl.items("nvmet", "list")[0]["authenticated"] is True
    assert not connects()
    assert not connects(secret(two))
    assert connects(secret(one))
    rdctl.ok("nvmet", "host", "set", HOST, "--auth-key-file", two.file)
    assert not connects(secret(one))
    assert connects(secret(two))
    rdctl.ok("nvmet", "host", "set", HOST, "--no-auth")
    assert connects()
    rdctl.ok("nvmet", "unexport", "rd0")
    assert machine.nvmet() == {**NO_NVMET, "ports": ["ports/1"]}


def test_both_sides_with_a_group(rdctl: Program, authenticates: None, tmp_path: Path) -> None:
    key, ctrl = Key(tmp_path, "host.key"), Key(tmp_path, "ctrl.key")
    other = Key(tmp_path, "other.key")
    exported(
        *(rdctl, key, "--ctrl-key-file", ctrl.file, "--hash", "sha512", "--dhgroup", "ffdhe2048")
    )
    assert connects(secret(key), f"--dhchap-ctrl-secret={ctrl.text}")
    assert not connects(secret(key), f"--dhchap-ctrl-secret={other.text}")
    assert rdctl.items("nvmet", "host", "list") == [
        {
            "host": HOST,
            "exports": [nqn("rd0")],
            "key": True,
            "ctrl_key": True,
            "hash": "sha512",
            "dhgroup": "ffdhe2048",
        }
    ]
    rdctl.ok("nvmet", "unexport", "rd0")
    assert machine.nvmet()["hosts"] == []


def test_connections_stay_when_a_host_is_made_anew(
    rdctl: Program, authenticates: None, tmp_path: Path
) -> None:
    """Its key is taken away so."""
    key = Key(tmp_path, "host.key")
    exported(rdctl, key)
    machine.tool(
        *("nvme", "connect", "--transport=tcp", "--traddr=127.0.0.1", "--trsvcid=4420"),
        *(f"--nqn={nqn('rd0')}", f"--hostnqn={HOST}", f"--hostid={HOST.rsplit(':', 1)[1]}"),
        *("--nr-io-queues=1", secret(key)),
    )
    machine.until(lambda: disks_of(nqn("rd0")), "the client's disk")
    rdctl.ok("nvmet", "host", "set", HOST, "--no-auth")
    disk = f"/dev/{disks_of(nqn('rd0'))[0]}"
    assert machine.digest(disk, 1 << 20)
    disconnect()


def test_what_the_kernel_takes(authenticates: None) -> None:
    """docs/wire/nvmet-auth.md#2-attributes-of-a-host"""
    NODE.mkdir()
    try:
        values = {name: (NODE / name).read_text() for name in ("dhchap_hash", "dhchap_dhgroup")}
        assert values == {"dhchap_hash": "hmac(sha256)\n", "dhchap_dhgroup": "null\n"}
        (NODE / "dhchap_key").write_text("DHHC-1:00:anything")
        assert (NODE / "dhchap_key").read_text() == "DHHC-1:00:anything\n"
        for name, text in (
            ("dhchap_key", "\n"),
            ("dhchap_key", "DHHC-1:04:x"),
            ("dhchap_key", "secret"),
            ("dhchap_hash", "hmac(md5)"),
            ("dhchap_dhgroup", "ffdhe1024"),
        ):
            with pytest.raises(OSError, match="Invalid argument"):
                (NODE / name).write_text(text)
        assert (NODE / "dhchap_key").read_text() == "DHHC-1:00:anything\n"
    finally:
        NODE.rmdir()


def test_a_key_on_a_kernel_without_authentication(rdctl: Program, tmp_path: Path) -> None:
    if can_authenticate():
        pytest.skip("this kernel can authenticate hosts")
    key = Key(tmp_path, "host.key")
    machine.attach(0)
    add_port(rdctl)
    words = ("nvmet", "export", "rd0", "--port", "1", "--host", HOST, "--auth-key-file", key.file)
    said = rdctl.refused(*words, code="unsupported", exit=11)
    assert f"this kernel ({os.uname().release}) cannot authenticate hosts" in said
    assert machine.nvmet() == {**NO_NVMET, "ports": ["ports/1"]}


def test_a_port_with_tls(rdctl: Program) -> None:
    add = ("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1", "--tls")
    if not can_encrypt():
        said = rdctl.refused(*add, code="unsupported", exit=11)
        assert f"this kernel ({os.uname().release}) cannot serve ports with TLS" in said
        assert machine.nvmet() == NO_NVMET
        return
    rdctl.ok(*add)
    node = NVMET / "ports" / "1"
    read = [(node / name).read_text().strip() for name in ("addr_tsas", "addr_treq")]
    assert read == ["tls1.3", "required"]
    assert rdctl.items("nvmet", "port", "list")[0]["tls"] is True
    machine.attach(0)
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--any-host")
    assert not connects()  # in the clear
    rdctl.ok("nvmet", "unexport", "rd0")
