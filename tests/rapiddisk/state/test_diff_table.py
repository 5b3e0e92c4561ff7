"""The table of diff: short enough for a terminal, with all values in the other formats."""

from __future__ import annotations

import pytest

from tests.conftest import Program
from tests.rapiddisk.state.machines import EXPORT, HOST, NQN, WHOLE, applied, run

OTHER = "nqn.2014-08.org.nvmexpress:uuid:2"
EDITED = (
    WHOLE.replace('size = "8MiB"', 'size = "12MiB"')
    .replace('max_age = "60s"', 'max_age = "never"')
    .replace(f'hosts = ["{HOST}"]', f'hosts = ["{OTHER}", "{HOST}3"]')
)


def table(rdctl: Program, text: str, units: str = "human") -> list[list[str]]:
    """The cells of the table, its headings first."""
    rdctl.root.joinpath("etc/rdctl/rapiddisk.toml").write_text(text)
    lines = run(rdctl, f"diff --units {units}").out.splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


@pytest.fixture(autouse=True)
def _machine(rdctl: Program) -> None:
    applied(rdctl, rdctl.home / "root", WHOLE.replace(f'"{HOST}"', f'"{HOST}", "{OTHER}"'))


def test_values_are_short(rdctl: Program) -> None:
    assert table(rdctl, EDITED) == [
        ["KIND", "NAME", "STATE", "KEY", "FILE", "MACHINE"],
        ["volume", "rd5", "differs", "size", "12.0 MiB", "8.0 MiB"],
        ["cache", "rc-wb_data", "differs", "max_age", "never", "60s"],
        ["export", "rdvm-rd3", "differs", "hosts", "uuid:13", "uuid:1"],
    ]


def test_sizes_are_in_the_units_of_the_command(rdctl: Program) -> None:
    assert table(rdctl, EDITED, "bytes")[1][4:] == ["12582912", "8388608"]


def test_other_formats_have_whole_values(rdctl: Program) -> None:
    table(rdctl, EDITED)
    rows = run(rdctl, "diff --json").json["items"]
    assert [(row["name"], row["file"], row["machine"]) for row in rows] == [
        ("rd5", 12 << 20, 8 << 20),
        ("rc-wb_data", 0, 60),
        (NQN, [f"{HOST}3", OTHER], [HOST, OTHER]),
    ]
    assert run(rdctl, "diff -o csv").out.splitlines()[0] == "kind,name,state,key,file,machine,note"


def test_columns_without_a_value_are_left_out(rdctl: Program) -> None:
    without = WHOLE.replace(EXPORT, "")
    assert table(rdctl, without) == [
        ["KIND", "NAME", "STATE", "KEY", "NOTE"],
        ["export", "rdvm-rd3", "extra", "-", "created by apply; apply --prune removes it"],
    ]
    assert run(rdctl, "diff --columns name,file").out.splitlines()[0].split() == ["NAME", "FILE"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_each_difference_is_on_one_line(rdctl: Program, columns: int) -> None:
    table(rdctl, EDITED)
    ran = run(rdctl, "diff", tty=True, width=columns)
    assert len(ran.out.splitlines()) == 4
