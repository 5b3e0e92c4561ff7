"""The JSON of nvmetcli. The sample is what its own code saved after it had restored our text, over
a plain tree with the attributes of a kernel 6.1."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.state.model import ExportState, PortState, State, VolumeState
from rdctl.rapiddisk.state.nvmetcli import parse, text
from tests.rapiddisk.state.test_document import without_at

SAVED = (Path(__file__).parent / "nvmetcli-saved.json").read_text("utf-8")
NQN = "nqn.2021-06.org.rapiddisk:lab-"
HOST = "nqn.2014-08.org.nvmexpress:uuid:f7a5e3b0-1111-4222-8333-444455556666"
UUID = "d592cdf3-5d1c-44e0-8412-3fcf7d99df27"
STATE = State(
    ports=(
        PortState(1, "tcp", "10.0.0.1", None, "4420", (("addr_treq", "required"),)),
        PortState(2, "tcp", "fe80::1", None, "4421"),
        PortState(5, "loop"),
    ),
    exports=(
        ExportState(
            NQN + "rc-wt_sdb",
            "rc-wt_sdb",
            (5,),
            any_host=True,
            serial="b",
            uuid=UUID[:-1] + "8",
            namespace=3,
            attributes=(("attr_model", "Linux"),),
            namespace_attributes=(("ana_grpid", "2"),),
        ),
        ExportState(
            NQN + "rd0",
            "rd0",
            (1, 2),
            (HOST,),
            serial="RD0-1",
            uuid=UUID,
            nguid="ef90689c-6c46-d44c-89c1-4067801309a8",
            attributes=(("attr_cntlid_min", "5"),),
        ),
    ),
)


def test_what_the_tool_saves_is_read() -> None:
    state, skipped = parse("f", SAVED)
    assert (without_at(state), skipped) == (STATE, [])
    lines = SAVED.split("\n")
    for entry, key in ((state.ports[0], '"portid": 1'), (state.exports[1], f'"nqn": "{NQN}rd0"')):
        begin = int(entry.at.removeprefix("f, line ")) - 1
        end = next(n for n in range(begin, len(lines)) if lines[n].startswith("    }"))
        assert lines[begin] == "    {"
        assert any(key in line for line in lines[begin:end])


def test_what_is_written_is_read_again() -> None:
    state, skipped = parse("f", text(STATE))
    assert (without_at(state), skipped) == (STATE, [])


def test_the_written_form() -> None:
    export = ExportState("nqn.a", "rd0", (5,), (HOST,), serial="x")
    state = State((VolumeState("rd0", 512),), ports=(PortState(5, "loop"),), exports=(export,))
    written = text(state)
    addr = {"adrfam": "", "traddr": "", "treq": "not specified", "trsvcid": "", "trtype": "loop"}
    document = {
        "hosts": [{"nqn": HOST}],
        "ports": [
            {
                "addr": addr,
                "ana_groups": [{"ana": {"state": "optimized"}, "grpid": 1}],
                "portid": 5,
                "referrals": [],
                "subsystems": ["nqn.a"],
            }
        ],
        "subsystems": [
            {
                "allowed_hosts": [HOST],
                "attr": {"allow_any_host": "0", "model": "RapidDisk", "serial": "x"},
                "namespaces": [
                    {"ana_grpid": 1, "device": {"path": "/dev/rd0"}, "enable": 1, "nsid": 1}
                ],
                "nqn": "nqn.a",
            }
        ],
    }
    assert written == json.dumps(document, indent=2, sort_keys=True) + "\n"


def test_an_interface_has_no_place() -> None:
    with pytest.raises(RdctlError) as caught:
        text(State(ports=(PortState(1, "tcp", None, "eth0", "4420"),)))
    assert caught.value.code is Code.UNSUPPORTED
    assert caught.value.hint == "Replace it by its address: ip address show eth0"


def saved() -> dict[str, Any]:
    """What our own text says: port 0 is 10.0.0.1, subsystem 1 is of rd0."""
    document: dict[str, Any] = json.loads(text(STATE))
    return document


def set_in(*path: Any) -> Callable[[dict[str, Any]], None]:
    """The change that sets what a path leads to."""
    *way, key, value = path

    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for step in way:
            place = place[step]
        place[key] = value

    return change


RD0: tuple[Any, ...] = ("subsystems", 1)
SKIPPED = f"subsystem {NQN}rd0 skipped: "


@pytest.mark.parametrize(
    ("change", "notice"),
    [
        (set_in(*RD0, "namespaces", []), SKIPPED + "no namespace"),
        (set_in(*RD0, "namespaces", [{}, {}]), SKIPPED + "2 namespaces"),
        (set_in(*RD0, "namespaces", 0, "enable", 0), SKIPPED + "namespace disabled"),
        (
            set_in(*RD0, "namespaces", 0, "device", "path", "/dev/nvme0n1"),
            SKIPPED + "/dev/nvme0n1 is not a RapidDisk device",
        ),
        (
            set_in(*RD0, "namespaces", 0, "device", "path", "/dev/rd00"),
            SKIPPED + "/dev/rd00 is not a RapidDisk device",
        ),
        (
            set_in(*RD0, "namespaces", 0, "device", "path", "/dev/mapper/vg-lv"),
            SKIPPED + "/dev/mapper/vg-lv is not a RapidDisk device",
        ),
        (
            set_in(*RD0, "namespaces", 0, "device", {}),
            SKIPPED + "its namespace is not a RapidDisk device",
        ),
        (
            set_in("ports", 2, "addr", "trtype", "fc"),
            "port 5 skipped: transport fc is not supported",
        ),
        (set_in("ports", 2, "addr", {}), "port 5 skipped: incomplete"),
        (set_in("ports", 0, "addr", "traddr", ""), "port 1 skipped: incomplete"),
        (set_in("ports", 0, "referrals", [{"name": "x"}]), "port 1: referrals skipped"),
        (
            set_in("ports", 0, "ana_groups", [{"grpid": 1, "ana": {"state": "inaccessible"}}]),
            "port 1: ANA groups skipped",
        ),
    ],
)
def test_what_is_skipped(change: Callable[[dict[str, Any]], None], notice: str) -> None:
    document = saved()
    change(document)
    state, skipped = parse("f", json.dumps(document))
    assert skipped == [notice]
    kept = {port.number for port in state.ports}
    there = {export.device for export in state.exports}
    assert (1 in kept) is not notice.startswith("port 1 skipped")
    assert (5 in kept) is not notice.startswith("port 5 skipped")
    assert ("rd0" in there) is not notice.startswith("subsystem")
    assert all(kept.issuperset(export.ports) for export in state.exports)


@pytest.mark.parametrize(
    ("change", "where", "message", "hint"),
    [
        (set_in("ports", {}), '"ports": {}', "file: ports must be a list", None),
        (set_in("ports", [5]), "5", "port must be an object", None),
        (
            set_in("ports", 0, "portid", "x"),
            '"portid": "x"',
            "port: portid must be an integer from 0",
            None,
        ),
        (set_in("ports", 0, "portid", 2), "{", "port 2 is in f, line 8 and in f, line 30", None),
        (
            set_in("ports", 0, "addr", "traddr", "lab"),
            '"traddr": "lab"',
            'port 1: traddr: invalid IP address "lab"',
            "Examples: 10.0.0.1, fe80::1.",
        ),
        (
            set_in("ports", 0, "addr", "treq", True),
            '"treq": true',
            "port 1: addr_treq must be a string",
            None,
        ),
        (set_in("ports", 0, "addr", 5), '"addr": 5', "port 1: addr must be an object", None),
        (set_in(*RD0, "nqn", "a/b"), '"nqn": "a/b"', 'subsystem a/b: invalid NQN "a/b"', None),
        (set_in(*RD0, "nqn", 5), '"nqn": 5', "subsystem: nqn must be a string", None),
        (
            set_in(*RD0, "attr", "allow_any_host", "1"),
            '"allow_any_host": "1"',
            f"subsystem {NQN}rd0: specify either allowed_hosts or allow_any_host",
            "Remove one of them.",
        ),
        (
            set_in(*RD0, "allowed_hosts", ["a/b"]),
            '"a/b"',
            'allowed_hosts: invalid NQN "a/b": must be printable characters without a slash',
            None,
        ),
        (
            set_in(*RD0, "attr", "serial", "é"),
            '"serial": "',
            'serial: invalid serial number "é"',
            None,
        ),
        (
            set_in("hosts", 0, "dhchap", {"key": "secret"}),
            "{",
            "keys are not read from such a file",
            None,
        ),
    ],
)
def test_faults(
    change: Callable[[dict[str, Any]], None], where: str, message: str, hint: str | None
) -> None:
    document = saved()
    change(document)
    written = json.dumps(document, indent=2)
    with pytest.raises(RdctlError) as caught:
        parse("f", written)
    assert caught.value.code is Code.CONFIG
    line = int(re.findall(r"f, line (\d+)", caught.value.message)[0])
    assert where in written.split("\n")[line - 1]
    assert message in caught.value.message
    assert "secret" not in caught.value.message
    if hint is not None:
        assert caught.value.hint == hint


def test_keys_of_hosts_elsewhere_do_not_matter() -> None:
    document = saved()
    document["hosts"].append({"nqn": "nqn.other", "dhchap": {"key": "secret"}})
    assert without_at(parse("f", json.dumps(document))[0]) == STATE


def test_numbers_may_be_strings_and_strings_numbers() -> None:
    document = saved()
    document["ports"][0]["portid"] = "1"
    document["ports"][0]["addr"]["trsvcid"] = 4420
    document["subsystems"][1]["attr"]["cntlid_min"] = 5
    document["subsystems"][1]["namespaces"][0]["enable"] = "1"
    document["subsystems"][1]["namespaces"][0]["nsid"] = "1"
    assert without_at(parse("f", json.dumps(document))[0]) == STATE


PLACES: list[Any] = [
    None,
    True,
    -1,
    1,
    9e99,
    "",
    "x",
    "1",
    [],
    [[]],
    {},
    {"nqn": {}},
    "\ud800",
    1 << 70,
]


@settings(deadline=None)
@given(st.data())
def test_any_value_anywhere(choice: st.DataObject) -> None:
    document = json.loads(SAVED)
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = choice.draw(st.sampled_from(keys))
        if not place[key] or not isinstance(place[key], dict | list) or choice.draw(st.booleans()):
            break
        place = place[key]
    place[key] = choice.draw(st.sampled_from(PLACES))
    try:
        parse("f", json.dumps(document))
    except RdctlError as error:
        found = error
    else:
        return
    assert found.code is Code.CONFIG
    assert "f, line 1" in found.message


@settings(deadline=None)
@given(st.integers(0, len(SAVED)), st.integers(0, 9), st.text(max_size=3))
def test_random_edits(start: int, length: int, added: str) -> None:
    try:
        parse("f", SAVED[:start] + added + SAVED[start + length :])
    except RdctlError as error:
        found = error
    else:
        return
    assert found.code is Code.CONFIG
