"""Hints of another machine, whose commands must not be typed on this one."""

from __future__ import annotations

import pytest

from rdctl.remote.near import placed


@pytest.mark.parametrize(
    ("hint", "here"),
    [
        ("Load it: sudo modprobe rapiddisk", "Load it on node7: sudo modprobe rapiddisk"),
        ("Unmount it: umount /mnt", "Unmount it on node7: umount /mnt"),
        (
            "Stop it: kill 17\nThen: rdctl rapiddisk remove rd0",
            "Stop it on node7: kill 17\nThen: rdctl rapiddisk remove rd0",
        ),
        *(
            (hint, hint)
            for hint in (
                None,
                "Remove it: rdctl rapiddisk remove rd0",
                "Existing volumes: rd0, rd1.",
                "Use --yes to confirm, or --dry-run to preview.",
            )
        ),
    ],
)
def test_where_a_command_of_a_hint_is_typed(hint: str | None, here: str | None) -> None:
    assert placed(hint, "node7") == here
