"""Exports on addresses that are not private: who may use them, and who can read along."""

from __future__ import annotations

import pytest

from tests.conftest import Program
from tests.doctor.conftest import NQN, Run, examined, heal, of
from tests.fakes.kernel import NVMET, FakeKernel
from tests.rapiddisk.keys import ONE_KEY

HOST = "nqn.2014-08.org.nvmexpress:uuid:1"
PUBLIC = "203.0.113.7"
# The last part of /proc/net/fib_trie.
ROUTES = """Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.0.2.15
        /32 host LOCAL
     +-- 203.0.113.0/24 2 0 2
        |-- 203.0.113.7
           /32 host LOCAL
        |-- 203.0.113.255
           /32 link BROADCAST
"""


def exported(kernel: FakeKernel, address: str, *, any_host: bool = False) -> None:
    """The export of the healthy machine, at another address and with one host."""
    kernel.put(f"{NVMET}/ports/1/addr_traddr", f"{address}\n")
    kernel.has_auth = True
    if any_host:
        kernel.put(f"{NVMET}/subsystems/{NQN}/attr_allow_any_host", "1\n")
        return
    for path in kernel.path(f"{NVMET}/subsystems/{NQN}/allowed_hosts").iterdir():
        path.unlink()
    kernel.allow_host(NQN, HOST)


def messages(run: Run) -> list[str]:
    rows = of(examined(run), "exports")
    return [row["message"] for row in rows if row["severity"] == "warning"]


AUTH = f"{NQN} does not authenticate its host {HOST}, on"
CLEAR = f"{NQN} is not encrypted on"


def test_a_public_address(healthy: Run, kernel: FakeKernel) -> None:
    exported(kernel, PUBLIC)
    where = f"{PUBLIC}, which is not a private address"
    assert messages(healthy) == [f"{AUTH} {where}", f"{CLEAR} {where}"]
    auth, clear = of(examined(healthy), "exports")
    assert f"nvmet host set {HOST} --auth-key-file FILE" in auth["mend"]
    add = f"nvmet port add 2 --transport tcp --address {PUBLIC} --service 4421 --tls"
    assert clear["mend"].endswith(add)
    kernel.put(f"{NVMET}/hosts/{HOST}/dhchap_key", f"{ONE_KEY}\n")
    kernel.path(f"{NVMET}/hosts/{HOST}/dhchap_key").chmod(0o600)
    assert messages(healthy) == [f"{CLEAR} {where}"]
    kernel.put(f"{NVMET}/ports/1/addr_tsas", "tls1.3\n")
    kernel.put(f"{NVMET}/ports/1/addr_treq", "not required\n")
    assert messages(healthy) == [f"{CLEAR} {where}"]
    kernel.put(f"{NVMET}/ports/1/addr_treq", "required\n")
    assert messages(healthy) == []


def test_any_host_on_a_public_address(healthy: Run, kernel: FakeKernel, rdctl: Program) -> None:
    exported(kernel, PUBLIC, any_host=True)
    said = messages(healthy)
    where = f"{PUBLIC}, which is not a private address"
    assert said == [f"{NQN} is open to every host on {where}", f"{CLEAR} {where}"]
    heal(rdctl, of(examined(healthy), "exports")[0]["mend"])
    assert messages(healthy) == []


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.2.15", "172.31.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1"),
        *("::1", "fe80::1", "fd00::2", "::ffff:10.0.0.1"),
    ],
)
def test_private_addresses(healthy: Run, kernel: FakeKernel, address: str) -> None:
    exported(kernel, address)
    assert messages(healthy) == []


@pytest.mark.parametrize("address", ["172.32.0.1", "100.64.0.1", "2001:db8::1", "::ffff:8.8.8.8"])
def test_other_addresses(healthy: Run, kernel: FakeKernel, address: str) -> None:
    exported(kernel, address)
    assert len(messages(healthy)) == 2


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_all_addresses_of_the_machine(healthy: Run, kernel: FakeKernel, address: str) -> None:
    exported(kernel, address)
    assert messages(healthy) == []
    kernel.put("proc/net/fib_trie", ROUTES)
    six = "20010db8000000000000000000000001 02 40 00 80     eth0\n"
    kernel.put("proc/net/if_inet6", f"{'0' * 31}1 01 80 10 80       lo\n{six}")
    where = f"{PUBLIC}, 2001:db8::1, which is not a private address"
    assert messages(healthy) == [f"{AUTH} {where}", f"{CLEAR} {where}"]


def test_a_key_that_every_user_can_read(healthy: Run, kernel: FakeKernel, rdctl: Program) -> None:
    exported(kernel, "10.0.2.15")
    path = f"{NVMET}/hosts/{HOST}/dhchap_key"
    kernel.put(path, f"{ONE_KEY}\n")
    kernel.path(path).chmod(0o644)
    (row,) = of(examined(healthy), "exports")
    assert row["message"] == f"every user of this machine can read a key of host {HOST}"
    assert row["mend"].startswith("chmod 600 ")
    assert ONE_KEY not in str(row)
    kernel.path(path).chmod(0o600)
    assert messages(healthy) == []
