"""Keys of hosts: checked before anything is done, set before a host can connect, in use by all of
its exports, and never shown."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program, Ran
from tests.fakes.kernel import NVMET, FakeKernel
from tests.rapiddisk.keys import ALL_KEYS, CTRL_KEY, ONE_KEY, TWO_KEY, key, key_file, written_in

Local = Callable[..., Ran]
NQN = "nqn.2021-06.org.rapiddisk:rdvm-rd0"
ONE, TWO = "nqn.2014-08.org.nvmexpress:uuid:1", "nqn.2014-08.org.nvmexpress:uuid:2"
HOST = f"{NVMET}/hosts/{ONE}"


class Keys:
    """The files of the keys."""

    def __init__(self, home: Path) -> None:
        self.home = home / "keys"
        self.home.mkdir()
        self.one = key_file(self.home, "one.key", ONE_KEY)
        self.two = key_file(self.home, "two.key", TWO_KEY)
        self.ctrl = key_file(self.home, "ctrl.key", CTRL_KEY)


@pytest.fixture
def kernel(kernel: FakeKernel) -> FakeKernel:
    """One that can authenticate hosts, and has TLS."""
    kernel.has_auth = kernel.has_tls = True
    return kernel


@pytest.fixture
def keys(rdctl: Program) -> Keys:
    return Keys(rdctl.home)


def export(local: Local, device: str, *words: str, **options: Any) -> Ran:
    ran = local("rapiddisk", "nvmet", "export", device, "--port", "1", *words, **options)
    assert not any(text in ran.out + ran.err for text in ALL_KEYS)
    return ran


def secured(local: Local, device: str, file: str, *words: str, **options: Any) -> Ran:
    return export(local, device, "--host", ONE, "--auth-key-file", file, *words, **options)


def set_host(local: Local, *words: str, **options: Any) -> Ran:
    ran = local("rapiddisk", "nvmet", "host", "set", ONE, *words, **options)
    assert not any(text in ran.out + ran.err for text in ALL_KEYS)
    return ran


def hosts(local: Local) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = local("rapiddisk", "nvmet", "host", "list", "--json").json[
        "items"
    ]
    return items


# --- export ---------------------------------------------------------------------------------------


def test_an_export_whose_host_must_have_a_key(kernel: FakeKernel, ports: Local, keys: Keys) -> None:
    ran = secured(
        *(ports, "rd0", keys.one, "--ctrl-key-file", keys.ctrl),
        *("--hash", "sha512", "--dhgroup", "ffdhe2048", "--json"),
    )
    assert ran.code == 0, ran.err
    assert ran.json["results"][0]["authenticated"] is True
    names = ("dhchap_key", "dhchap_ctrl_key", "dhchap_hash", "dhchap_dhgroup")
    values = [kernel.text(f"{HOST}/{name}") for name in names]
    assert values == [ONE_KEY, CTRL_KEY, "hmac(sha512)", "ffdhe2048"]
    for name in names[:2]:
        assert stat.S_IMODE(os.stat(kernel.path(f"{HOST}/{name}")).st_mode) == 0o600
    assert hosts(ports) == [
        {
            "host": ONE,
            "exports": [NQN],
            "key": True,
            "ctrl_key": True,
            "hash": "sha512",
            "dhgroup": "ffdhe2048",
        }
    ]
    (target,) = ports("rapiddisk", "nvmet", "list", "--json").json["items"]
    assert (target["authenticated"], target["tls"]) == (True, False)
    count = kernel.steps
    again = secured(ports, "rd0", keys.one, "--json")
    assert (again.json["results"][0]["changed"], kernel.steps) == (False, count)


def test_the_key_is_set_before_the_host_is_allowed(ports: Local, keys: Keys) -> None:
    lines = secured(ports, "rd0", keys.one, "--trace").err.splitlines()
    order = [
        next(number for number, line in enumerate(lines) if word in line)
        for word in ("chmod 0600", "/dhchap_key", "allowed_hosts", "ports/1/subsystems")
    ]
    assert order == sorted(order)
    assert f"cat {keys.one} > " in lines[order[0] + 1]


def test_one_host_without_a_key_makes_an_export_open(ports: Local, keys: Keys) -> None:
    assert secured(ports, "rd0", keys.one).code == 0
    assert export(ports, "rd0", "--host", TWO).code == 0
    (target,) = ports("rapiddisk", "nvmet", "list", "--json").json["items"]
    assert target["authenticated"] is False


def test_a_key_from_standard_input(kernel: FakeKernel, ports: Local) -> None:
    ran = secured(ports, "rd0", "-", "--trace", stdin=f"{ONE_KEY}\n".encode())
    assert (ran.code, kernel.text(f"{HOST}/dhchap_key")) == (0, ONE_KEY)
    assert secured(ports, "rd0", "-", "--ctrl-key-file", "-").code == 2


@pytest.mark.parametrize("option", ["--auth-key-file", "--ctrl-key-file"])
def test_a_key_is_never_read_as_names(
    kernel: FakeKernel, ports: Local, keys: Keys, tmp_path: Path, option: str
) -> None:
    failed = tmp_path / "failed"
    given = ["--auth-key-file", keys.one, option, "-", "--failed", str(failed)]
    ran = export(ports, "-", "--host", ONE, *given, stdin=f"{ONE_KEY}\n".encode())
    assert (ran.code, kernel.steps) == (2, 0)
    assert ran.err == f"rdctl: error: only one of DEVICE and {option} can be -\n"
    assert not failed.exists()


@pytest.mark.parametrize("text", [ONE_KEY, f"{ONE_KEY}\n", ONE_KEY[:-1]])
def test_a_key_in_place_of_its_file(kernel: FakeKernel, ports: Local, text: str) -> None:
    ran = secured(ports, "rd0", text, "--json")
    assert (ran.code, kernel.steps) == (2, 0)
    assert "the name of a file is required, not a key" in ran.err
    assert ONE_KEY[10:30] not in ran.out + ran.err
    assert set_host(ports, "--auth-key-file", text).code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--any-host", "--auth-key-file", "{one}"),
        ("--host", ONE, "--ctrl-key-file", "{one}"),
        ("--host", ONE, "--hash", "sha256"),
        ("--host", ONE, "--dhgroup", "null"),
        ("--host", ONE, "--auth-key-file", "{one}", "--hash", "md5"),
        ("--host", ONE, "--auth-key-file", "{one}", "--dhgroup", "ffdhe1"),
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense(
    kernel: FakeKernel, ports: Local, keys: Keys, words: tuple[str, ...]
) -> None:
    given = [word.format(one=keys.one) for word in words]
    assert (export(ports, "rd0", *given).code, kernel.steps) == (2, 0)


DAMAGED = ONE_KEY.replace("AQ", "AR", 1)
WRONG = {
    "": "must be one line",
    "secret": "must be one line",
    ONE_KEY[:-1]: "must be one line",
    f"{ONE_KEY}\n{TWO_KEY}": "must be one line",
    ONE_KEY.replace("DHHC-1:00", "DHHC-1:04"): "must be one line",
    "DHHC-1:00:AAAA:": "has 0 bytes; a key of the form DHHC-1:00 has 32 or 48 or 64",
    key(1, "00", 33): "has 33 bytes",
    key(1, "02", 32): "has 32 bytes; a key of the form DHHC-1:02 has 48",
    DAMAGED: "its checksum (CRC-32) does not match",
    ONE_KEY.replace("AQ", "A=", 1): "must be one line",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_key(kernel: FakeKernel, ports: Local, rdctl: Program, text: str) -> None:
    file = key_file(rdctl.home, "wrong.key", text)
    ran = secured(ports, "rd0", file)
    assert (ran.code, kernel.steps) == (2, 0)
    assert WRONG[text] in ran.err
    assert "nvme gen-dhchap-key" in ran.err
    assert not any(part in ran.err for part in text.split(":") if len(part) > 20)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o620])
def test_a_file_that_others_can_read(
    kernel: FakeKernel, ports: Local, rdctl: Program, mode: int
) -> None:
    file = key_file(rdctl.home, "wide.key", ONE_KEY, mode)
    ran = secured(ports, "rd0", file)
    assert (ran.code, kernel.steps) == (4, 0)
    assert f"chmod 600 {file}" in ran.err


def test_a_file_that_is_not_there(kernel: FakeKernel, ports: Local, rdctl: Program) -> None:
    ran = secured(ports, "rd0", str(rdctl.home / "none"))
    assert (ran.code, kernel.steps) == (3, 0)
    assert secured(ports, "rd0", str(rdctl.home)).code == 1


# --- one key for all exports of a host ------------------------------------------------------------


def test_a_key_in_use_is_not_replaced_by_another_export(
    kernel: FakeKernel, ports: Local, keys: Keys
) -> None:
    secured(ports, "rd0", keys.one)
    before, count = kernel.snapshot(), kernel.steps
    for device, words in (("rd1", ()), ("rd0", ()), ("rd1", ("--hash", "sha384"))):
        ran = secured(ports, device, keys.two if not words else keys.one, *words)
        assert (ran.code, kernel.steps, kernel.snapshot()) == (4, count, before)
        assert f"rdctl --local rapiddisk nvmet host set {ONE} --auth-key-file FILE" in ran.err
    assert NQN in secured(ports, "rd1", keys.two).err
    assert secured(ports, "rd1", keys.one).code == 0


def test_a_host_that_other_exports_allow_without_a_key(
    kernel: FakeKernel, ports: Local, keys: Keys
) -> None:
    export(ports, "rd0", "--host", ONE)
    count = kernel.steps
    ran = secured(ports, "rd1", keys.one)
    assert (ran.code, kernel.steps) == (4, count)
    assert f"has no key, and is allowed by {NQN}" in ran.err
    assert secured(ports, "rd0", keys.one).code == 0  # its own export


def test_the_last_export_of_a_host_takes_its_key_along(
    kernel: FakeKernel, ports: Local, keys: Keys
) -> None:
    for device in ("rd0", "rd1"):
        secured(ports, device, keys.one)
    assert ports("rapiddisk", "nvmet", "unexport", "rd0", "--yes").code == 0
    assert kernel.text(f"{HOST}/dhchap_key") == ONE_KEY
    assert ports("rapiddisk", "nvmet", "unexport", "rd1", "--yes").code == 0
    assert not kernel.path(HOST).exists()
    assert not kernel.path("run/rdctl/hosts.json").exists()


def test_a_key_of_another_tool_stays(kernel: FakeKernel, ports: Local, keys: Keys) -> None:
    export(ports, "rd0", "--host", ONE)
    kernel.put(f"{HOST}/dhchap_key", f"{ONE_KEY}\n")
    assert ports("rapiddisk", "nvmet", "unexport", "rd0", "--yes").code == 0
    assert kernel.text(f"{HOST}/dhchap_key") == ONE_KEY


# --- host set -------------------------------------------------------------------------------------


def test_a_key_is_rotated_for_all_exports(kernel: FakeKernel, ports: Local, keys: Keys) -> None:
    for device in ("rd0", "rd1"):
        secured(ports, device, keys.one)
    count = kernel.steps
    ran = set_host(ports, "--auth-key-file", keys.two)
    assert (ran.code, kernel.steps) == (2, count)
    assert f"host {ONE} will need the new key to connect again to {NQN}, " in ran.err
    ran = set_host(ports, "--auth-key-file", keys.two, "--yes")
    assert (ran.code, kernel.text(f"{HOST}/dhchap_key")) == (0, TWO_KEY)
    again = set_host(ports, "--auth-key-file", keys.two)
    assert again.out.startswith(f"host {ONE} already has this key")


def test_a_key_before_the_first_export(kernel: FakeKernel, ports: Local, keys: Keys) -> None:
    assert set_host(ports, "--hash", "sha384").code == 4
    assert set_host(ports, "--auth-key-file", keys.one).code == 0
    assert set_host(ports, "--dhgroup", "ffdhe4096").code == 0
    assert kernel.text(f"{HOST}/dhchap_dhgroup") == "ffdhe4096"
    assert set_host(ports, "--no-auth", "--yes").code == 0
    assert not kernel.path(HOST).exists()
    assert "has no key" in set_host(ports, "--no-auth").out


def test_a_host_without_its_key(kernel: FakeKernel, ports: Local, keys: Keys) -> None:
    secured(ports, "rd0", keys.one, "--ctrl-key-file", keys.ctrl, "--hash", "sha384")
    ran = set_host(ports, "--no-auth")
    assert ran.code == 2
    assert f"any client that uses its name can connect to {NQN}" in ran.err
    assert set_host(ports, "--no-auth", "--yes").code == 0
    (host,) = hosts(ports)
    assert (host["key"], host["ctrl_key"], host["exports"]) == (False, False, [NQN])


@pytest.mark.parametrize("words", [(), ("--no-auth", "--hash", "sha256")])
def test_nothing_to_set(ports: Local, words: tuple[str, ...]) -> None:
    assert set_host(ports, *words).code == 2


def test_a_key_that_everybody_on_the_machine_can_read_is_not_root_only(
    kernel: FakeKernel, ports: Local, keys: Keys
) -> None:
    """Kernels create the attributes with mode 0644."""
    secured(ports, "rd0", keys.one)
    kernel.path(f"{HOST}/dhchap_key").chmod(0o644)
    assert set_host(ports, "--auth-key-file", keys.two, "--yes").code == 0
    assert stat.S_IMODE(os.stat(kernel.path(f"{HOST}/dhchap_key")).st_mode) == 0o600


# --- what the kernel cannot do --------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_a_kernel_that_cannot_authenticate(
    kernel: FakeKernel, ports: Local, keys: Keys, known: bool
) -> None:
    """Only a host shows it."""
    kernel.has_auth = False
    if known:
        export(ports, "rd1", "--host", TWO)
    before, count = kernel.snapshot(), kernel.steps
    ran = secured(ports, "rd0", keys.one, "--json")
    errors = ran.json.get("errors") or [ran.json["error"]]
    assert (ran.code, errors[0]["code"]) == (11, "unsupported")
    assert "this kernel (6.1.0-56-amd64) cannot authenticate hosts" in ran.err
    assert kernel.snapshot() == before
    assert known is (kernel.steps == count)
    if known:
        assert [(host["key"], host["hash"]) for host in hosts(ports)] == [(False, None)]


@pytest.mark.parametrize(("step", "number"), [(2, 524), (3, errno.EINVAL)], ids=["hash", "dhgroup"])
def test_a_kernel_without_the_code(
    kernel: FakeKernel, ports: Local, keys: Keys, step: int, number: int
) -> None:
    before = kernel.snapshot()
    kernel.fail_at(step, number)
    ran = secured(ports, "rd0", keys.one, "--hash", "sha512", "--dhgroup", "ffdhe8192")
    assert (ran.code, kernel.snapshot()) == (11, before)
    assert "this kernel cannot use this" in ran.err


def test_a_remote_daemon_has_no_keys(served: Local, rdctl: Program, keys: Keys) -> None:
    for words in (
        ("host", "list"),
        ("host", "set", ONE, "--auth-key-file", keys.one),
        ("export", "rd0", "--port", "1", "--host", ONE, "--auth-key-file", keys.one),
        ("port", "add", "7", "--transport", "tcp", "--address", "127.0.0.1", "--tls"),
    ):
        ran = served("rapiddisk", "nvmet", *words)
        assert ran.code == 11, ran.err
        assert "--local" in ran.err


# --- all or nothing -------------------------------------------------------------------------------

EXPORT = "nvmet export rd0 --port 1 --host {host}"
FIRST = {
    "export": "",
    "rotate": f"{EXPORT} --auth-key-file {{one}} --ctrl-key-file {{ctrl}}",
    "first key": EXPORT,
    "no auth": f"{EXPORT} --auth-key-file {{one}}",
    "unexport": f"{EXPORT} --auth-key-file {{one}} --hash sha384",
}
CHANGES = {
    "export": f"{EXPORT} --auth-key-file {{one}} --hash sha384",
    "rotate": "nvmet host set {host} --auth-key-file {two} --hash sha512 --yes",
    "first key": "nvmet host set {host} --auth-key-file {two} --ctrl-key-file {ctrl} --yes",
    "no auth": "nvmet host set {host} --no-auth --yes",
    "unexport": "nvmet unexport rd0 --yes",
}
STEPS = {"export": 11, "rotate": 2, "first key": 4, "no auth": 4, "unexport": 6}


def exposed(kernel: FakeKernel) -> list[str]:
    """The files with keys that every user of the machine can read."""
    found = []
    for name in ("dhchap_key", "dhchap_ctrl_key"):
        file = kernel.path(f"{HOST}/{name}")
        if file.exists() and file.read_text().strip() and stat.S_IMODE(file.stat().st_mode) & 0o077:
            found.append(name)
    return found


@pytest.mark.parametrize("interrupted", [False, True], ids=["refused", "interrupted"])
@pytest.mark.parametrize(("name", "step"), [(n, s + 1) for n in STEPS for s in range(STEPS[n])])
def test_a_failure_at_each_step_restores_the_keys(
    kernel: FakeKernel,
    ports: Local,
    rdctl: Program,
    keys: Keys,
    name: str,
    step: int,
    interrupted: bool,
) -> None:
    words = {"host": ONE, "one": keys.one, "two": keys.two, "ctrl": keys.ctrl}
    if FIRST[name]:
        assert ports("rapiddisk", *FIRST[name].format(**words).split()).code == 0
    before, count = kernel.snapshot(), kernel.steps
    record = kernel.path("run/rdctl/hosts.json")
    recorded = record.read_text() if record.exists() else None
    kernel.steps = 0
    if interrupted:
        kernel.interrupt_at(step)
    else:
        kernel.fail_at(step, errno.EIO)
    ran = ports("rapiddisk", *CHANGES[name].format(**words).split(), "--trace")
    assert ran.code == (130 if interrupted else 1), ran.err
    assert kernel.snapshot() == before, ran.err
    assert (record.read_text() if record.exists() else None) == recorded
    assert count >= 0
    assert exposed(kernel) == []
    assert not any(text in ran.out + ran.err for text in ALL_KEYS)


@pytest.mark.parametrize("name", STEPS)
def test_the_number_of_steps(kernel: FakeKernel, ports: Local, keys: Keys, name: str) -> None:
    words = {"host": ONE, "one": keys.one, "two": keys.two, "ctrl": keys.ctrl}
    if FIRST[name]:
        assert ports("rapiddisk", *FIRST[name].format(**words).split()).code == 0
    kernel.steps = 0
    assert ports("rapiddisk", *CHANGES[name].format(**words).split()).code == 0
    assert kernel.steps == STEPS[name]


# --- nothing keeps a key --------------------------------------------------------------------------


def test_no_key_is_written_anywhere_but_to_the_kernel(
    kernel: FakeKernel, ports: Local, rdctl: Program, keys: Keys
) -> None:
    shown = []

    def run(*words: str, **options: Any) -> Ran:
        ran = ports("rapiddisk", *words, **options)
        shown.append(ran.stdout + ran.stderr)
        return ran

    export = ("nvmet", "export", "rd0", "--port", "1", "--host", ONE)
    given = ("--auth-key-file", keys.one, "--ctrl-key-file", keys.ctrl)
    assert run(*export, *given, "--dry-run", "--trace", "--json").code == 0
    assert run(*export, *given, "--trace").code == 0
    rotate = ("nvmet", "host", "set", ONE, "--auth-key-file", keys.two)
    for more in (("--dry-run", "--trace"), ("--json",), ("--yes", "--trace", "--json")):
        run(*rotate, *more)
    for words in ("dump", "dump -o json", "dump --nvmetcli", "nvmet show rd0 --json", "undo"):
        run(*words.split())
    run(
        "nvmet", "host", "set", ONE, "--auth-key-file", "-", "--yes", stdin=f"{CTRL_KEY}\n".encode()
    )
    run("dump", "--save", "--yes")
    kernel.fail_at(kernel.steps + 2, errno.EIO)
    run("nvmet", "host", "set", ONE, "--auth-key-file", keys.one, "--hash", "sha512", "--yes")
    run("nvmet", "unexport", "rd0", "--yes", "--trace")
    run("undo", "--json")
    shown.append(rdctl("history", "--json").stdout)
    shown.append(rdctl("history", "-o", "yaml").stdout)
    parts = [text.split(":")[2].encode() for text in ALL_KEYS]
    assert not [part for part in parts if any(part in data for data in shown)]
    assert written_in(rdctl.home, but=(keys.home,)) == []


def test_what_a_former_key_prevents(ports: Local, keys: Keys) -> None:
    secured(ports, "rd0", keys.one)
    set_host(ports, "--auth-key-file", keys.two, "--yes")
    ran = ports("rapiddisk", "undo", "--yes")
    assert ran.code == 4
    assert f"host {ONE}: its former key was lost when it was changed; cannot be restored" in ran.err


def test_a_key_that_went_with_its_last_export(ports: Local, keys: Keys) -> None:
    """To set the key alone would not bring the export back."""
    secured(ports, "rd0", keys.one, "--ctrl-key-file", keys.ctrl)
    assert ports("rapiddisk", "nvmet", "unexport", "rd0", "--yes").code == 0
    ran = ports("rapiddisk", "undo", "--yes")
    assert ran.code == 4
    assert "its former key and controller key were lost when it was removed;" in ran.err
    assert f"nvmet export DEVICE --port ID --host {ONE} --auth-key-file FILE" in ran.err


def test_an_export_with_a_key_is_undone(kernel: FakeKernel, ports: Local, keys: Keys) -> None:
    before = kernel.snapshot()
    secured(ports, "rd0", keys.one)
    ran = ports("rapiddisk", "undo", "--yes")
    assert ran.code == 0, ran.err
    assert kernel.snapshot() == before


def test_settings_are_undone(kernel: FakeKernel, ports: Local, keys: Keys) -> None:
    secured(ports, "rd0", keys.one)
    before = kernel.snapshot()
    assert set_host(ports, "--hash", "sha512", "--ctrl-key-file", keys.ctrl, "--yes").code == 0
    ran = ports("rapiddisk", "undo", "--yes")
    assert (ran.code, kernel.snapshot()) == (0, before), ran.err


# --- TLS ------------------------------------------------------------------------------------------

ADD = ("rapiddisk", "nvmet", "port", "add", "3", "--transport")


def test_a_port_with_tls(kernel: FakeKernel, ports: Local) -> None:
    add = (*ADD, "tcp", "--address", "127.0.0.1", "--tls")
    assert ports(*add).code == 0
    assert kernel.text(f"{NVMET}/ports/3/addr_tsas") == "tls1.3"
    assert kernel.text(f"{NVMET}/ports/3/addr_treq") == "required"
    port = ports("rapiddisk", "nvmet", "port", "show", "3", "--json").json["items"][0]
    assert port["tls"] is True
    assert ports(*add).out.startswith("port 3 already exists")
    ran = ports(*add[:-1])
    assert ran.code == 4
    assert "with TLS" in ran.err
    assert ports("rapiddisk", "nvmet", "export", "rd0", "--port", "3", "--host", ONE).code == 0
    (target,) = ports("rapiddisk", "nvmet", "list", "--json").json["items"]
    assert target["tls"] is True
    ports("rapiddisk", "nvmet", "export", "rd0", "--port", "1", "--host", ONE)
    (target,) = ports("rapiddisk", "nvmet", "list", "--json").json["items"]
    assert target["tls"] is False


def test_a_port_where_tls_is_optional(kernel: FakeKernel, ports: Local) -> None:
    """Its clients may send all in the clear."""
    assert ports(*ADD, "tcp", "--address", "127.0.0.1", "--tls").code == 0
    kernel.put(f"{NVMET}/ports/3/addr_treq", "not required\n")
    assert ports("rapiddisk", "nvmet", "export", "rd0", "--port", "3", "--host", ONE).code == 0
    (target,) = ports("rapiddisk", "nvmet", "list", "--json").json["items"]
    assert target["tls"] is False
    assert ports("rapiddisk", "nvmet", "unexport", "rd0", "--yes").code == 0
    before = kernel.snapshot()
    assert ports("rapiddisk", "nvmet", "port", "remove", "3", "--yes").code == 0
    ran = ports("rapiddisk", "undo", "--yes")
    assert (ran.code, kernel.snapshot()) == (0, before), ran.err


def test_tls_is_of_tcp(kernel: FakeKernel, ports: Local) -> None:
    assert ports(*ADD, "rdma", "--address", "127.0.0.1", "--tls").code == 2
    assert ports(*ADD, "loop", "--tls").code == 2


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOENT], ids=["no keyring", "too old"])
def test_a_kernel_without_tls(kernel: FakeKernel, ports: Local, number: int) -> None:
    kernel.has_tls = number == errno.EINVAL
    for port in (1, 2):
        kernel.path(f"{NVMET}/ports/{port}/addr_tsas").unlink()
        kernel.delete(f"{NVMET}/ports/{port}")
    before = kernel.snapshot()
    kernel.fail_at(kernel.steps + 6, number)
    ran = ports(*ADD, "tcp", "--address", "127.0.0.1", "--tls")
    assert (ran.code, kernel.snapshot()) == (11, before)
    assert "this kernel (6.1.0-56-amd64) cannot serve ports with TLS" in ran.err
    assert "addr_tsas" in ran.err


def test_a_kernel_that_is_known_to_have_no_tls(kernel: FakeKernel, ports: Local) -> None:
    kernel.path(f"{NVMET}/ports/1/addr_tsas").unlink()
    count = kernel.steps
    ran = ports(*ADD, "tcp", "--address", "127.0.0.1", "--tls", "--dry-run")
    assert (ran.code, kernel.steps) == (11, count)
