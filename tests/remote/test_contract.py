"""What a command of RapidDisk prints is the same over SSH as on the machine itself: the same
commands in two sandboxes that begin alike, one of them behind ssh."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rdctl.cli.tree import Command, root
from rdctl.completion.nodes import walk
from tests.conftest import Program, Ran

# In this order: each command finds what those before it have left.
LINES = """
rapiddisk status
rapiddisk resources
rapiddisk overview
rapiddisk list
rapiddisk list rd0 rd7
rapiddisk list vdb
rapiddisk show rd0
rapiddisk create 64M
rapiddisk create 8M --count 3 --trace
rapiddisk create 8M --number 5 --dry-run
rapiddisk create 900G
rapiddisk create 8M --count 2 --number 3
rapiddisk create lots
rapiddisk show rd1 rd2
rapiddisk show rd1 rd9
rapiddisk resize rd1 +64M
rapiddisk resize rd1 32M --dry-run
rapiddisk resize rd1 32M
rapiddisk resize rd1 32M --yes
rapiddisk lock rd1 rd2 rd9
rapiddisk lock rd1
rapiddisk flush rd1 --yes
rapiddisk unlock rd1 rd2
rapiddisk flush rd1
rapiddisk flush rd1 rd3 --yes
rapiddisk remove rd3 rd9 rd0 --yes
rapiddisk remove rd4 --dry-run --trace
rapiddisk remove --yes
rapiddisk cache create rd1 sdb
rapiddisk cache create rd2 sdc --policy writeback --yes
rapiddisk cache create rd0 sdb
rapiddisk cache list
rapiddisk cache list rc-wb_sdc nothing
rapiddisk cache show rc-wt_sdb
rapiddisk cache show rc-wt_sdb rc-wb_sdc
rapiddisk cache stats
rapiddisk cache stats rc-wt_sdb
rapiddisk cache sync rc-wb_sdc
rapiddisk cache remove rc-wt_sdb --dry-run
rapiddisk cache remove rc-wt_sdb rc-wb_sdc --yes
rapiddisk nvmet port add 3 --transport loop
rapiddisk nvmet port list
rapiddisk nvmet port show 1
rapiddisk nvmet port remove 9
rapiddisk nvmet port remove 3 --yes
rapiddisk nvmet export rd1 --port 1 --any-host --yes
rapiddisk nvmet list
rapiddisk nvmet show rd0
rapiddisk nvmet show rd1
rapiddisk nvmet revalidate rd1
rapiddisk nvmet host list
rapiddisk nvmet host set nqn.2014-08.org.nvmexpress:x --no-auth
rapiddisk nvmet host set nqn.2014-08.org.nvmexpress:x
rapiddisk nvmet unexport rd1
rapiddisk nvmet unexport rd1 --yes
rapiddisk dump
rapiddisk dump --nvmetcli
rapiddisk dump --save --only caches
rapiddisk dump --save --dry-run
rapiddisk dump --save
rapiddisk remove rd1 --yes
rapiddisk diff
rapiddisk diff --exit-code
rapiddisk apply --dry-run
rapiddisk apply --boot --yes
rapiddisk apply --trace
rapiddisk apply
rapiddisk undo --dry-run
rapiddisk undo
rapiddisk undo --yes
rapiddisk undo nothing
rapiddisk boot status
rapiddisk boot enable --dry-run
rapiddisk boot enable
rapiddisk boot status
rapiddisk boot stop --dry-run
rapiddisk boot disable
rapiddisk daemon status
rapiddisk daemon enable
rapiddisk daemon disable
rapiddisk daemon start
rapiddisk daemon stop --yes
rapiddisk save rd1 saved.img
rapiddisk load saved.img rd1 --dry-run
history --columns user,contexts,result,exit,targets,effects,acts
history --target rd1 --columns result
history nothing
""".strip().splitlines()

VERBS = [
    node.path.removeprefix("rdctl ")
    for node in walk(root)
    if isinstance(node.command, Command)
    and (node.command.remote or node.path.startswith("rdctl rapiddisk "))
]


def test_every_verb_is_compared() -> None:
    missing = [
        verb for verb in VERBS if not any(f"{line} ".startswith(f"{verb} ") for line in LINES)
    ]
    assert missing == []


# What differs from run to run: times, IDs of commands, and process IDs.
_VARYING = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+Z)?|\b[0-9a-f]{8}\b|process \d+|\"pid\": \d+"
    r"|\b[0-9a-f]{20}\b|-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
# Only the history over SSH has who sent a command, and another command line.
_ORIGIN = re.compile(r'"origin": ("[^"]*"|null)|"command": "[^"]*"|"argv": \[[^]]*\]|undoing ~: .*')


def alike(ran: Ran) -> tuple[int, str, str]:
    def plain(text: str) -> str:
        text = text.replace("-c far", "-c sandbox").replace("context far", "context sandbox")
        return _ORIGIN.sub("~", _VARYING.sub("~", text))

    return ran.code, plain(ran.out), plain(ran.err)


@pytest.mark.parametrize("format", ["table", "json"])
def test_over_ssh_all_is_the_same(
    rdctl: Program,
    far: Callable[..., Ran],
    sandbox: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    rdctl.program = (sys.executable, "-m", "rdctl")
    assert sandbox("rapiddisk", "list").code == 0
    there = {"RDCTL_SANDBOX": str(tmp_path / "there.db")}
    shutil.copy(rdctl.sandbox, there["RDCTL_SANDBOX"])
    different = []
    for line in LINES:
        words = [*line.split(), "-o", format]
        here, away = alike(sandbox(*words)), alike(far(*words, env=there))
        if here != away:
            different.append("\n".join([line, "here:", *map(str, here), "there:", *map(str, away)]))
    assert not different, "\n".join(different)
