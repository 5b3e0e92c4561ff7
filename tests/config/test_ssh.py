"""Contexts over SSH: their address, and the command that runs rdctl there."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdctl.config.contexts import Config
from rdctl.config.resolve import Settings, resolve
from rdctl.config.ssh import Address, address_of, words_of
from tests.conftest import Program

NODE = '[contexts.node]\nrapiddisk = "ssh://node7"\nremote_command = "sudo -n rdctl"\n'


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ssh://node7", (None, "node7", None)),
        ("ssh://root@node7", ("root", "node7", None)),
        ("ssh://root@node7.example.com:2222", ("root", "node7.example.com", 2222)),
        ("ssh://192.0.2.7:65535", (None, "192.0.2.7", 65535)),
        ("ssh://[::1]", (None, "::1", None)),
        ("ssh://me@[fe80::1%eth0]:22", ("me", "fe80::1%eth0", 22)),
        # Aliases of ~/.ssh/config, and logins of directories.
        ("ssh://rack_1+node-7", (None, "rack_1+node-7", None)),
        ("ssh://knoten-süd", (None, "knoten-süd", None)),
        ("ssh://me@example.com@node7", ("me@example.com", "node7", None)),
        ("ssh://CORP\\me@node7", ("CORP\\me", "node7", None)),
    ],
)
def test_an_address(url: str, address: Address) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize(
    "url",
    [
        *("ssh://", "ssh://@h", "ssh://u@", "ssh://:22", "ssh://u@:22", "ssh://h:", "ssh://h:x"),
        *("ssh://h:0", "ssh://h:65536", "ssh://h:-1", "ssh://h:22:22", "ssh://::1", "ssh://[::1"),
        *("ssh://[h]", "ssh://[]", "ssh://[::1]x", "ssh://h/", "ssh://h/path", "ssh://h?q"),
        *("ssh://h#f", "ssh://u:secret@h", "ssh://h h", "ssh://h\n", "ssh://u\x1b@h", "ssh://h\t"),
        # Options of ssh, and what a shell in its configuration would run.
        *("ssh://-oProxyCommand=x", "ssh://u@-h", "ssh://-u@h", "ssh://-u@x@h", "ssh://--"),
        *("ssh://`x`", "ssh://$(x)", "ssh://h;x", "ssh://a|b", "ssh://u'@h", "ssh://u&x@h"),
        *("ssh://a,b", "ssh://a*", "ssh://a\\b"),
    ],
)
def test_no_address(rdctl: Program, url: str) -> None:
    with pytest.raises(ValueError, match=r"^(host|invalid|must)"):
        address_of(url)
    for env, argv in (({}, ("--rapiddisk-url", url)), ({"RDCTL_RAPIDDISK_URL": url}, ())):
        done = rdctl(*argv, "rapiddisk", "list", env=env)
        assert (done.code, done.out) == (2, "")
        assert "invalid URL" in done.err
        assert "secret" not in done.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("rdctl", ("rdctl",)),
        ("sudo -n /opt/my\\ tools/rdctl", ("sudo", "-n", "/opt/my tools/rdctl")),
        ("env A='b c' rdctl -c sandbox", ("env", "A=b c", "rdctl", "-c", "sandbox")),
    ],
)
def test_a_remote_command(command: str, words: tuple[str, ...]) -> None:
    assert words_of(command) == words


@pytest.mark.parametrize("command", ["", " ", "''\n", "rdctl 'x", "rdctl \\", "a\x1bb"])
def test_no_remote_command(rdctl: Program, command: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|a quote)"):
        words_of(command)
    done = rdctl("rapiddisk", "list", env={"RDCTL_REMOTE_COMMAND": command or " "})
    assert (done.code, done.out) == (2, "")
    assert "RDCTL_REMOTE_COMMAND: " in done.err


def test_in_the_file(rdctl: Program) -> None:
    done = rdctl("context", "set", "node", "rapiddisk=ssh://node7", "remote_command=sudo -n rdctl")
    assert done.code == 0
    assert rdctl.config.read_text() == NODE
    rows = rdctl("context", "show", "node", "--json").json["items"]
    values = {row["key"]: row["value"] for row in rows}
    assert values["rapiddisk"] == "ssh://node7"
    assert values["remote_command"] == "sudo -n rdctl"
    (row,) = [one for one in rdctl("context", "list", "--json").json["items"] if not one["oio"]]
    assert (row["name"], row["rapiddisk"]) == ("node", "ssh://node7")
    rdctl.config.write_text('[contexts.node]\nrapiddisk = "ssh://-x"\n')
    assert "config.toml, line 2: rapiddisk: invalid URL" in rdctl("context", "list").err


def test_openio_is_not_reached_over_ssh(rdctl: Program) -> None:
    done = rdctl("context", "set", "node", "oio=ssh://node7")
    assert done.code == 2
    assert "must begin with http:// or https://" in done.err


def _settings(tmp_path: Path, env: dict[str, str], **flags: str) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(NODE)
    config = Config({**env, "RDCTL_CONFIG": str(path)}, str(tmp_path), str(tmp_path))
    return resolve(config, flags)


@pytest.mark.parametrize(
    ("env", "flags", "command"),
    [
        ({}, {"context": "node"}, "sudo -n rdctl"),
        # That of the context would run on another machine.
        ({}, {"context": "node", "rapiddisk_url": "ssh://other"}, None),
        ({"RDCTL_REMOTE_COMMAND": "x"}, {"context": "node"}, "sudo -n rdctl"),
        ({"RDCTL_REMOTE_COMMAND": "x"}, {"rapiddisk_url": "ssh://other"}, None),
        ({"RDCTL_REMOTE_COMMAND": "x", "RDCTL_RAPIDDISK_URL": "ssh://other"}, {}, "x"),
    ],
)
def test_a_command_is_only_for_its_own_machine(
    tmp_path: Path, env: dict[str, str], flags: dict[str, str], command: str | None
) -> None:
    settings = _settings(tmp_path, env, **flags)
    assert settings.over_ssh
    assert not settings.is_local
    assert settings.credential("remote_command", "rapiddisk") == command
