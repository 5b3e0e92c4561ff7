"""The names of volumes, caches and exports."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk import names


@pytest.mark.parametrize(
    ("text", "volume", "rapiddisk"),
    [
        ("rd0", True, True),
        ("rd12345678", True, True),
        ("rc-wt_sdb", False, True),
        ("rc-wb_x y", False, True),
        ("rd", False, False),
        ("rd-1", False, False),
        ("rc-wt_", False, False),
        ("rc-wx_sdb", False, False),
        ("sdb", False, False),
    ],
)
def test_what_is_called_so(text: str, volume: bool, rapiddisk: bool) -> None:
    assert (names.is_volume(text), names.is_rapiddisk(text)) == (volume, rapiddisk)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/dev/rd0", "rd0"),
        ("/dev/mapper/rc-wa_sdb", "rc-wa_sdb"),
        ("/dev/sdb", None),
        ("/dev/mapper/mapper/rd0", None),
        ("rd0", None),
        (None, None),
    ],
)
def test_what_a_path_names(path: str | None, name: str | None) -> None:
    assert names.at_path(path) == name


def test_a_cache_is_called_by_its_policy_and_its_source() -> None:
    assert set(names.POLICIES) == {"write-through", "write-around", "writeback"}
    for policy, prefix in names.PREFIXES.items():
        cache = f"{prefix}sdb"
        assert (names.policy_of(cache), names.source_in(cache)) == (policy, "sdb")
    assert names.policy_of("rc-wt") is None


def test_a_volume_is_called_by_its_number() -> None:
    assert (names.numbered(17), names.number_of("rd17")) == ("rd17", 17)


@pytest.mark.parametrize(
    ("read", "text", "name"),
    [
        (names.volume_name, "/dev/rd1", "rd1"),
        (names.cache_name, "/dev/mapper/rc-wt_sdb", "rc-wt_sdb"),
        (names.device_name, "/dev/mapper/rc-wt_sdb", "rc-wt_sdb"),
        (names.device_name, "/dev/rd1", "rd1"),
        (names.host_nqn, "nqn.2014-08.org.nvmexpress:uuid:1", "nqn.2014-08.org.nvmexpress:uuid:1"),
    ],
)
def test_what_may_be_typed(read: Callable[[str], str], text: str, name: str) -> None:
    assert read(text) == name


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (names.volume_name, "rd12345678"),
        (names.volume_name, "rd0;reboot"),
        (names.volume_name, "rd0\n"),
        (names.cache_name, "rc-wt_" + "x" * 101),
        (names.cache_name, "rc-wt_a b"),
        (names.device_name, "rc0"),
        (names.device_name, "sdb"),
        (names.host_nqn, "nqn.a/b"),
        (names.host_nqn, "nqn." + "x" * 220),
    ],
)
def test_what_may_not_be_typed(read: Callable[[str], str], text: str) -> None:
    with pytest.raises(RdctlError) as raised:
        read(text)
    assert (raised.value.code, raised.value.target) == (Code.USAGE, text)


def test_the_nqn_of_an_export() -> None:
    nqn = names.export_nqn("store", "rd1")
    assert nqn == "nqn.2021-06.org.rapiddisk:store-rd1"
    assert names.is_own_nqn(nqn)
    assert not names.is_own_nqn("nqn.2021-06.com.rapiddisk:store-rd1")
