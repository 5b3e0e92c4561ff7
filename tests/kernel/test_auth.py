"""Keys of hosts, and ports with TLS, on a kernel that has them; on others, that this is said.

Debian 12's own kernel has neither. `RDCTL_KERNEL=VERSION tests/kernel/run -k auth` boots another
one that is installed, with RapidDisk's modules. A connection with TLS needs more: tlshd (package
ktls-utils, from Debian 13 on), keyctl (keyutils), and the nvme-cli of Debian 13.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB, NO_NVMET, NVMET
from tests.kernel.test_nvmet import HOST, OTHER, add_port, disconnect, disks_of, nqn

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


def lacks_for_tls() -> str | None:
    """Why no client can connect with TLS here."""
    if not can_encrypt():
        return f"Linux {os.uname().release} cannot serve ports with TLS"
    for program, package in (("tlshd", "ktls-utils"), ("keyctl", "keyutils")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian's package {package})"
    if "--tls" not in machine.tool("nvme", "connect", "--help", check=False):
        return "nvme-cli is too old for connections with TLS"
    return None


def listens(pid: int) -> bool:
    """Whether a process hears of what the kernel reports to groups over generic netlink (16)."""
    rows = [line.split() for line in Path("/proc/net/netlink").read_text().splitlines()[1:]]
    return any(
        (family, int(port) & (1 << 22) - 1) == ("16", pid) and int(groups, 16)
        for _, family, port, groups, *_ in rows
    )


@pytest.fixture
def tlshd(tmp_path: Path) -> Iterator[None]:
    """The program that shakes hands for both ends; no key is there before and after."""
    if (lacking := lacks_for_tls()) is not None:
        pytest.skip(lacking)
    settings = tmp_path / "tlshd.conf"
    settings.write_text("[debug]\nloglevel=0\n[authenticate]\n")
    with (
        open(tmp_path / "tlshd.log", "w", encoding="utf-8") as log,
        subprocess.Popen(["tlshd", "-s", "-c", settings], stdout=log, stderr=log) as daemon,
    ):
        try:
            machine.until(lambda: listens(daemon.pid), "tlshd")
            yield
        finally:
            daemon.terminate()
            for psk in psks():
                machine.tool("keyctl", "unlink", psk, "%:.nvme")


def psks() -> list[str]:
    """The keys in the keyring .nvme."""
    return machine.tool("keyctl", "rlist", "%:.nvme").split()


def insert_psk(host: str = HOST, *, identity: int = 1, keyring: str = ".nvme") -> str:
    """A new key of a host and the export, as the recipe has it: its number. Its name has a hash of
    the key, or with identity 0 none."""
    psk = machine.tool("nvme", "gen-tls-key", "--hmac=1").strip()
    said = machine.tool(
        *("nvme", "check-tls-key", f"--identity={identity}", "--insert", f"--keyring={keyring}"),
        *(f"--hostnqn={host}", f"--subsysnqn={nqn('rd0')}", f"--keydata={psk}"),
    )
    return str(int(said.split()[-1], 16))


def wrong_psk(identity: int) -> str:
    """The number of a key that only the client has, although both ends have one keyring .nvme."""
    ring = machine.tool("keyctl", "newring", "wrong", "@u").strip()
    readable = "0x3f3f0000"  # also by those who do not have it in a keyring of their session
    machine.tool("keyctl", "setperm", ring, readable)
    psk = insert_psk(identity=identity, keyring="wrong")
    change = f"keyctl link {ring} @s && keyctl setperm {psk} {readable}"
    machine.tool("keyctl", "session", "-", "sh", "-c", change)
    return psk


def connects(*more: str) -> bool:
    """Whether a client gets the disk, which then has the data of the volume."""
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
        (disk,) = disks_of(nqn("rd0"))
        machine.until(lambda: os.path.exists(f"/dev/{disk}"), "its node")
        assert machine.digest(f"/dev/{disk}", MIB) == machine.digest("/dev/rd0", MIB)
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


def test_only_the_right_key_connects_with_tls(rdctl: Program, tlshd: None) -> None:
    machine.attach(0)
    machine.fill("/dev/rd0", MIB)
    rdctl.ok(
        *("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1", "--tls")
    )
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--host", HOST)
    assert rdctl.items("nvmet", "list")[0]["tls"] is True
    assert not connects("--tls")  # without a key
    for identity in (0, 1):
        insert_psk(identity=identity)
        assert connects("--tls")
        assert not connects("--tls", f"--tls_key={wrong_psk(identity)}")
    assert not connects()  # in the clear
    assert connects("--tls")
    # A key of a host, even of another, is all that TLS asks for: it does not authenticate one.
    assert connects("--tls", f"--tls_key={insert_psk(OTHER)}")
    rdctl.ok("nvmet", "unexport", "rd0")


def test_a_port_where_tls_is_optional(rdctl: Program) -> None:
    if not can_encrypt():
        pytest.skip(f"Linux {os.uname().release} cannot serve ports with TLS")
    rdctl.ok(
        *("nvmet", "port", "add", "1", "--transport", "tcp", "--address", "127.0.0.1", "--tls")
    )
    (NVMET / "ports/1/addr_treq").write_text("not required")
    machine.attach(0)
    machine.fill("/dev/rd0", MIB)
    rdctl.ok("nvmet", "export", "rd0", "--port", "1", "--host", HOST)
    assert rdctl.items("nvmet", "list")[0]["tls"] is False
    assert connects()
    rdctl.ok("nvmet", "unexport", "rd0")
