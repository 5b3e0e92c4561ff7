"""The text of a state: what is read, each fault with its line, and that nothing is lost."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.state.document import merge, parse
from rdctl.rapiddisk.state.model import (
    SCHEMA,
    CacheState,
    ExportState,
    ModuleState,
    PortState,
    State,
    VolumeState,
)
from rdctl.rapiddisk.state.writing import data, toml

HEAD = f'schema = "{SCHEMA}"\n'
NQN = "nqn.2021-06.org.rapiddisk:lab-rd0"
HOST = "nqn.2014-08.org.nvmexpress:uuid:f7a5e3b0-1111-4222-8333-444455556666"
UUID = "d592cdf3-5d1c-44e0-8412-3fcf7d99df27"
DISK = "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4"

WHOLE = f'''\
# The machine lab.
schema = "{SCHEMA}"

[exports."{NQN}".attributes]
attr_cntlid_min = "5"

[modules.rapiddisk]
rd_max_nr = 64

[volumes]
rd10 = {{ size = "131072B" }}
rd0.size = "64 MiB"
rd0.locked = true
rd2 = {{ size = "2G", locked = false }}
rd4 = {{ size = "1GiB", locked = true, image = "/srv/disk images/50%.img" }}

[caches.rc-wb_sdb]
volume = "rd1"
source = "{DISK}"
source_size = "1GiB"
policy = "writeback"
max_age = "5m"

["caches"."rc-wt_md127"]
volume = "rd2"
source = "/dev/md127"
policy = 'write-through'

[ports]
1 = {{ transport = "tcp", address = "FE80::1", service = "4421" }}
2.transport = "rdma"
2.interface = "ib0"
5.transport = "loop"
5.attributes.addr_treq = "required"

[exports."{NQN}"]
device = "rd0"
ports = [
    1,
    5,
]
hosts = ["{HOST}"]
serial = "RD 0"
uuid = "{UUID.upper()}"
nguid = "{UUID.replace("-", "")}"
namespace = 3
namespace_attributes = {{ ana_grpid = "2" }}

[exports."nqn.any"]
device = "rc-wb_sdb"
any_host = true
'''
STATE = State(
    volumes=(
        VolumeState("rd10", 131072, at="f, line 11"),
        VolumeState("rd0", 64 << 20, True, at="f, line 12"),
        VolumeState("rd2", 2 << 30, at="f, line 14"),
        VolumeState("rd4", 1 << 30, True, "/srv/disk images/50%.img", "f, line 15"),
    ),
    caches=(
        CacheState("rc-wb_sdb", "rd1", DISK, 1 << 30, "writeback", 300, "f, line 17"),
        CacheState("rc-wt_md127", "rd2", "/dev/md127", 0, "write-through", at="f, line 24"),
    ),
    ports=(
        PortState(1, "tcp", "fe80::1", None, "4421", at="f, line 30"),
        PortState(2, "rdma", None, "ib0", "4420", at="f, line 31"),
        PortState(5, "loop", attributes=(("addr_treq", "required"),), at="f, line 33"),
    ),
    exports=(
        ExportState(
            NQN,
            "rd0",
            ports=(1, 5),
            hosts=(HOST,),
            serial="RD 0",
            uuid=UUID,
            nguid=UUID,
            namespace=3,
            attributes=(("attr_cntlid_min", "5"),),
            namespace_attributes=(("ana_grpid", "2"),),
            at="f, line 36",
        ),
        ExportState("nqn.any", "rc-wb_sdb", any_host=True, at="f, line 49"),
    ),
    modules=(ModuleState("rd_max_nr", 64, "f, line 8"),),
)
WRITTEN = f'''\
schema = "{SCHEMA}"

[modules.rapiddisk]
rd_max_nr = 64

[volumes.rd0]
size = "64MiB"
locked = true

[volumes.rd2]
size = "2GiB"

[volumes.rd4]
size = "1GiB"
locked = true
image = "/srv/disk images/50%.img"

[volumes.rd10]
size = "131072B"

# by-path: no other name
#
# leads to it \\x1b[1m
[caches."rc-wb_sdb"]
volume = "rd1"
source = "{DISK}"
source_size = "1GiB"
policy = "writeback"
max_age = "300s"

[caches."rc-wt_md127"]
volume = "rd2"
source = "/dev/md127"
policy = "write-through"

[ports.1]
transport = "tcp"
address = "fe80::1"
service = "4421"

[ports.2]
transport = "rdma"
interface = "ib0"
service = "4420"

[ports.5]
transport = "loop"

[ports.5.attributes]
addr_treq = "required"

[exports."nqn.2021-06.org.rapiddisk:lab-rd0"]
device = "rd0"
ports = [1, 5]
hosts = ["{HOST}"]
serial = "RD 0"
uuid = "{UUID}"
nguid = "{UUID}"
namespace = 3

[exports."nqn.2021-06.org.rapiddisk:lab-rd0".attributes]
attr_cntlid_min = "5"

[exports."nqn.2021-06.org.rapiddisk:lab-rd0".namespace_attributes]
ana_grpid = "2"

[exports."nqn.any"]
device = "rc-wb_sdb"
ports = []
any_host = true
'''


def without_at(state: State) -> State:
    parts: Any = [tuple(entry._replace(at="") for entry in part) for part in state]
    return State(*parts)


def test_a_whole_file() -> None:
    assert parse("f", WHOLE) == STATE


def test_the_written_form() -> None:
    comment = "by-path: no other name\n\nleads to it \x1b[1m"
    assert toml(STATE, {"caches.rc-wb_sdb": comment, "caches.rc-wb_sdz": "x"}) == WRITTEN
    assert tomllib.loads(WRITTEN) == data(STATE)
    assert toml(parse("f", WRITTEN), {"caches.rc-wb_sdb": comment}) == WRITTEN


def test_an_empty_state() -> None:
    assert toml(State()) == HEAD
    assert parse("f", HEAD) == parse("f", json.dumps(data(State()))) == State()


def test_hosts_are_one_a_line() -> None:
    export = ExportState("nqn.a", "rd0", hosts=("nqn.b", "nqn.c"))
    assert 'hosts = [\n    "nqn.b",\n    "nqn.c",\n]\n' in toml(State(exports=(export,)))


def test_lines_of_json() -> None:
    text = f'\n{{"schema": "{SCHEMA}",\n"volumes": {{\n"rd0": {{"size": "1M"}}}}}}'
    assert parse("f", text).volumes == (VolumeState("rd0", 1 << 20, at="f, line 4"),)


@pytest.mark.parametrize(
    ("size", "written"),
    [
        (512, "512B"),
        (1024, "1024B"),
        (131072, "131072B"),
        (64 << 20, "64MiB"),
        (1536 << 20, "1536MiB"),
        (1 << 30, "1GiB"),
        (3 << 40, "3TiB"),
        ((1 << 63) - (1 << 20), "8796093022207MiB"),
    ],
)
def test_sizes_are_written_in_the_largest_unit(size: int, written: str) -> None:
    state = State(volumes=(VolumeState("rd0", size),))
    assert data(state)["volumes"] == {"rd0": {"size": written}}
    assert without_at(parse("f", toml(state))) == state


# --- faults -----------------------------------------------------------------------------------

VOLUME = "[volumes.rd0]\n"
CACHE = f'[caches.rc-wt_sdb]\nvolume = "rd1"\nsource = "{DISK}"\npolicy = "write-through"\n'
BACK = f'[caches.rc-wb_sdb]\nvolume = "rd1"\nsource = "{DISK}"\npolicy = "writeback"\n'
PORT = '[ports.1]\ntransport = "tcp"\n'
EXPORT = '[exports."nqn.a"]\ndevice = "rd0"\nhosts = []\n'

# Each is a text below HEAD, which is line 1; then the message from its line on, and the hint.
FAULTS = (Path(__file__).parent / "faults.txt").read_text("utf-8").split("\n====\n")


def fault_of(text: str) -> RdctlError:
    with pytest.raises(RdctlError) as caught:
        parse("f", text)
    assert caught.value.code is Code.CONFIG
    return caught.value


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault: str) -> None:
    text, *expected = fault.rstrip("\n").split("\n=> ")
    error = fault_of(f"{HEAD}{text}\n")
    # Not the column, which is tomllib's.
    message = re.sub(r"^f, line (\d+)(, column \d+)?: ", r"\1: ", error.message)
    assert [message, *([error.hint] if error.hint else [])] == expected


BEGIN = f'Begin the file with: schema = "{SCHEMA}"'


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", 'f, line 1: key "schema" missing', BEGIN),
        (VOLUME + "size = 5", 'f, line 1: key "schema" missing', BEGIN),
        ("{}", 'f, line 1: key "schema" missing', BEGIN),
        ('\n{"volumes": {},\n"schema": 1}', f'f, line 3: schema must be "{SCHEMA}"', BEGIN),
        ('\nschema = "x/1"', f'f, line 2: schema must be "{SCHEMA}"', BEGIN),
        (
            'schema = "rdctl.rapiddisk.state/2"\nnew = 1',
            'f, line 1: schema "rdctl.rapiddisk.state/2" was written by a later rdctl',
            f"Update rdctl: this one reads {SCHEMA}.",
        ),
        ('schema = "rdctl.rapiddisk.state/0"', f'f, line 1: schema must be "{SCHEMA}"', BEGIN),
        ("{", "f, line 1: invalid JSON: expecting property name enclosed in double quotes", None),
        (
            f'{{"schema": "{SCHEMA}", "volumes": {{\n"rd0": {{"size": 64}}}}}}',
            'f, line 2: size = 64 has no unit: write "64MiB" (67108864 bytes) or "64B"',
            None,
        ),
        (
            f'{{"schema": "{SCHEMA}",\n"volumes": {{}},\n"volumes": {{}}}}',
            'f, line 3: key "volumes" already exists in line 2',
            "Remove one of them.",
        ),
        (
            f'{{"schema": "{SCHEMA}", "exports": {{"\\ud800": {{}}}}}}',
            "f, line 1: exports must be valid Unicode, without NUL",
            None,
        ),
        ("x = " + "[" * 5000 + "]" * 5000, "f: nested too deep", None),
        ("\nx = " + "9" * 5000, "f, line 2: a number has too many digits", None),
        (
            f"{HEAD}{VOLUME}size = 0x{'f' * 9000}",
            "f, line 3: size must be a string with a unit",
            'Example: size = "64MiB".',
        ),
    ],
)
def test_faults_of_whole_texts(text: str, message: str, hint: str | None) -> None:
    error = fault_of(text)
    assert (error.message, error.hint) == (message, hint)


# --- several files ----------------------------------------------------------------------------


def test_files_are_merged() -> None:
    one = parse("a", HEAD + VOLUME + 'size = "1M"')
    two = parse("b", HEAD + CACHE + PORT + 'address = "::1"')
    assert merge([one, two]) == State(one.volumes, two.caches, two.ports)
    assert merge([]) == State()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            VOLUME + 'size = "1M"',
            "\n" + VOLUME + 'size = "1M"',
            "volume rd0 is in a, line 2 and in b, line 3",
        ),
        (CACHE, CACHE, "cache rc-wt_sdb is in a, line 2 and in b, line 2"),
        (EXPORT, EXPORT, "export nqn.a is in a, line 2 and in b, line 2"),
        (
            PORT + 'address = "::1"',
            PORT + 'address = "::2"',
            "port 1 is in a, line 2 and in b, line 2",
        ),
        (
            "[modules.rapiddisk]\nrd_max_nr = 1",
            "[modules.rapiddisk]\nmax_sectors = 1\nrd_max_nr = 1",
            "module parameter rd_max_nr is in a, line 3 and in b, line 4",
        ),
        (
            CACHE,
            EXPORT.replace("rd0", "rd1"),
            "b, line 2: volume rd1 of export nqn.a is in use by cache rc-wt_sdb (a, line 2)",
        ),
        (
            CACHE,
            CACHE.replace("rc-wt_sdb]", "rc-wt_sdc]").replace("rd1", "rd2"),
            f"b, line 2: source {DISK} of cache rc-wt_sdc is in use by cache rc-wt_sdb (a, line 2)",
        ),
    ],
)
def test_clashes_of_files(first: str, second: str, message: str) -> None:
    states = [parse("a", HEAD + first), parse("b", HEAD + second)]
    with pytest.raises(RdctlError) as caught:
        merge(states)
    assert (caught.value.code, caught.value.message) == (Code.CONFIG, message)


def test_caches_on_caches_are_allowed() -> None:
    upper = CACHE.replace(DISK, "/dev/mapper/rc-wb_sdb").replace("rd1", "rd2")
    state = parse("f", HEAD + BACK + 'source_size = "1G"\n' + upper)
    assert [cache.name for cache in state.caches] == ["rc-wb_sdb", "rc-wt_sdb"]
