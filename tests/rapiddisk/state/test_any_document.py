"""Any state is read again as it was written, and any text ends in a state or in an error."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.names import PREFIXES
from rdctl.rapiddisk.state.document import parse
from rdctl.rapiddisk.state.model import (
    CacheState,
    ExportState,
    ModuleState,
    PortState,
    State,
    VolumeState,
)
from rdctl.rapiddisk.state.writing import data, toml
from tests.rapiddisk.state.test_document import HEAD, STATE, WHOLE, WRITTEN, without_at

SIZES = st.integers(1, (1 << 54) - (1 << 11)).map(lambda sectors: sectors * 512) | st.integers(
    1, 1 << 20
).map(lambda mib: mib << 20)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ATTRIBUTES = st.dictionaries(st.from_regex(r"attr_x[a-z0-9_]{0,8}", fullmatch=True), TEXTS).map(
    lambda found: tuple(sorted(found.items()))
)
VOLUMES = st.integers(0, 9999999).map(lambda number: f"rd{number}")
NAMES = st.from_regex(r"[A-Za-z0-9._+-]{1,100}", fullmatch=True)
NQNS = (
    st.text(max_size=55)
    .filter(lambda nqn: nqn.isprintable() and "/" not in nqn and nqn not in ("", ".", ".."))
    .filter(lambda nqn: len(nqn.encode()) <= 223)
)
HOSTS = st.from_regex(r"nqn\.[!-.0-~]{1,219}", fullmatch=True)
UUIDS = st.uuids().map(str)
SERIALS = st.from_regex(r"[!-~]([ -~]{0,18}[!-~])?", fullmatch=True)
NUMBERS = st.integers(0, 65535)
PARTS = (
    st.text(min_size=1, max_size=20)
    .filter(lambda part: part.isprintable() and "/" not in part and part not in (".", ".."))
    .filter(lambda part: part not in ("dev", "proc", "run", "sys"))
)
IMAGES = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@st.composite
def caches(draw: st.DrawFn, volume: str, number: int) -> CacheState:
    policy = draw(st.sampled_from(list(PREFIXES)))
    back = policy == "writeback"
    tail = draw(TEXTS.filter(lambda tail: not {"/", "."} & set(tail)))
    size = draw(SIZES if back else st.just(0) | SIZES)
    age = draw(st.none() | st.integers(1, 86400)) if back else None
    name = PREFIXES[policy] + draw(NAMES)
    return CacheState(name, volume, f"/dev/{number}{tail}", size, policy, age)


@st.composite
def ports(draw: st.DrawFn, number: int) -> PortState:
    transport = draw(st.sampled_from(["tcp", "rdma", "loop"]))
    address = interface = service = None
    if transport != "loop":
        service = str(draw(st.integers(1, 65535)))
        if draw(st.booleans()):
            address = str(draw(st.ip_addresses()))
        else:
            interface = draw(st.from_regex(r"[a-z][!-.0-9;-~]{0,14}", fullmatch=True))
    return PortState(number, transport, address, interface, service, draw(ATTRIBUTES))


@st.composite
def exports(draw: st.DrawFn, nqn: str) -> ExportState:
    any_host = draw(st.booleans())
    return ExportState(
        nqn,
        draw(VOLUMES | st.builds(str.__add__, st.sampled_from(list(PREFIXES.values())), NAMES)),
        tuple(draw(st.lists(NUMBERS, unique=True, max_size=3))),
        () if any_host else tuple(draw(st.lists(HOSTS, unique=True, max_size=3))),
        any_host,
        draw(st.none() | SERIALS),
        draw(st.none() | UUIDS),
        draw(st.none() | UUIDS),
        draw(st.integers(1, (1 << 32) - 2)),
        draw(ATTRIBUTES),
        draw(ATTRIBUTES),
    )


@st.composite
def states(draw: st.DrawFn) -> State:
    sizes = draw(st.dictionaries(VOLUMES, SIZES, max_size=3))
    cached = draw(st.lists(VOLUMES, unique=True, max_size=3))
    names = [name for name in sizes if name not in cached]
    files = draw(st.lists(IMAGES, unique=True, max_size=len(names)))
    images = dict(zip(names, files, strict=False))
    if any(f"{file}.sha256" in files for file in files):
        images = {}
    found = [draw(caches(volume, number)) for number, volume in enumerate(cached)]
    there = [draw(exports(nqn)) for nqn in draw(st.lists(NQNS, unique=True, max_size=3))]
    listeners = [draw(ports(number)) for number in draw(st.lists(NUMBERS, unique=True, max_size=2))]
    addresses = [port[1:5] for port in listeners if port.transport != "loop"]
    modules = ("max_sectors", "nr_requests", "rd_max_nr")
    return State(
        tuple(
            VolumeState(name, size, draw(st.booleans()), images.get(name))
            for name, size in sizes.items()
        ),
        tuple({cache.name: cache for cache in found}.values()),
        tuple(listeners) if len(set(addresses)) == len(addresses) else (),
        tuple(export for export in there if export.device not in cached),
        tuple(ModuleState(name, draw(st.integers(0, 2**31 - 1))) for name in modules),
    )


@settings(deadline=None)
@given(states())
@example(without_at(STATE))
def test_what_is_written_is_read_again(state: State) -> None:
    text = toml(state)
    again = parse("f", text)
    assert toml(again) == text
    for part, before in zip(without_at(again), state, strict=True):
        assert sorted(part, key=str) == sorted(before, key=str)
    for form in (json.dumps(data(state)), json.dumps(data(state), ensure_ascii=False, indent=1)):
        assert without_at(parse("f", form)) == without_at(again)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["volumes.rd0"]), st.text(), max_size=1))
def test_a_comment_is_only_a_comment(comments: dict[str, str]) -> None:
    state = State(volumes=(VolumeState("rd0", 512),))
    assert without_at(parse("f", toml(state, comments))) == state


# --- any input ends in a state or in an error with its place ------------------------------------

LINES = (WHOLE + WRITTEN).splitlines()
VALUES: list[Any] = [None, True, -1, 64, 1.5, "", "x", [], [[]], {}, {"x": {}}, "nqn.a", "\ud800"]


def survives(text: str) -> None:
    try:
        parse("f", text)
    except RdctlError as error:
        found = error
    else:
        return
    assert found.code is Code.CONFIG
    assert found.message.startswith(("f, line ", "f: "))


@settings(deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_lines_in_any_order(lines: list[str]) -> None:
    survives(HEAD + "\n".join(lines))


@settings(deadline=None)
@given(st.integers(0, len(WHOLE)), st.integers(0, 9), st.text(max_size=3))
def test_random_edits_of_toml(start: int, length: int, text: str) -> None:
    survives(WHOLE[:start] + text + WHOLE[start + length :])


@settings(deadline=None)
@given(st.data())
def test_random_edits_of_json(choice: st.DataObject) -> None:
    document = data(STATE)
    place = document
    while True:
        key = choice.draw(st.sampled_from([*place, "x"]))
        inner = place.get(key)
        if not isinstance(inner, dict) or choice.draw(st.booleans()):
            break
        place = inner
    place[key] = choice.draw(st.sampled_from(VALUES))
    text = json.dumps(document)
    start = choice.draw(st.integers(0, len(text)))
    survives(text)
    survives(text[:start] + choice.draw(st.text(max_size=2)) + text[start + 1 :])
