"""While a question waits for its answer, others can work: no lock is held."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from rdctl.cli.tree import Command, root
from rdctl.completion.nodes import walk
from tests.conftest import Program, Ran

RD1 = "rapiddisk create 64M"
HOST = "nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d"
# What each verb asks, and what has to be there before. Of several contexts, every change is asked.
ASKED = {
    "rapiddisk create 64M": (),
    "rapiddisk resize rd1 +64M": (RD1,),
    "rapiddisk resize rd1 32M": (RD1,),
    "rapiddisk flush rd1": (RD1,),
    "rapiddisk remove rd1": (RD1,),
    "rapiddisk lock rd1": (RD1,),
    "rapiddisk unlock rd1": (RD1, "rapiddisk lock rd1"),
    "rapiddisk cache create rd1 sdb": (RD1,),
    "rapiddisk cache create rd1 sdb --policy writeback": (RD1,),
    "rapiddisk cache sync rc-wb_sdb": (
        RD1,
        "rapiddisk cache create rd1 sdb --policy writeback --yes",
    ),
    "rapiddisk cache remove rc-wt_sdb": (RD1, "rapiddisk cache create rd1 sdb"),
    "rapiddisk nvmet port add 3 --transport loop": (),
    "rapiddisk nvmet port remove 2": (),
    "rapiddisk nvmet export rd1 --port 1 --any-host": (RD1,),
    "rapiddisk nvmet unexport rd0": (),
    "rapiddisk apply": ("rapiddisk dump --save", "rapiddisk nvmet port remove 2 --yes"),
    "rapiddisk boot enable": ("rapiddisk dump --save",),
    "rapiddisk boot disable": ("rapiddisk dump --save", "rapiddisk boot enable"),
    "rapiddisk boot stop": ("rapiddisk dump --save",),
    "rapiddisk nvmet revalidate rd0": (),
    f"rapiddisk nvmet host set {HOST} --auth-key-file key": (),
    "rapiddisk daemon start": (),
    "rapiddisk daemon stop": ("rapiddisk daemon start",),
    "rapiddisk daemon enable": (),
    "rapiddisk daemon disable": ("rapiddisk daemon enable",),
}
# These ask only for what they destroy, on one context.
ALONE = {
    "rapiddisk load image rd0": (
        "rapiddisk nvmet unexport rd0 --yes",
        "rapiddisk save rd0 image",
    ),
    "rapiddisk undo": (RD1,),
    "rapiddisk dump --save": ("rapiddisk dump --save", RD1),
}


class Answer(io.BytesIO):
    """A person who looks elsewhere before the answer."""

    def __init__(self, meanwhile: Callable[[], Ran]) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self.found: list[Ran] = []

    def readline(self, size: int | None = -1, /) -> bytes:
        self.found.append(self._meanwhile())
        return b"y\n"


def test_every_verb_that_changes_something_is_tried() -> None:
    verbs = [
        node.path.removeprefix("rdctl ")
        for node in walk(root)
        if node.path.startswith("rdctl rapiddisk ")
        and isinstance(node.command, Command)
        and node.command.shows is None
    ]
    tried = [*ASKED, *ALONE, "rapiddisk save"]  # which does not ask, and is not for several
    missing = [verb for verb in verbs if not any(f"{t} ".startswith(f"{verb} ") for t in tried)]
    assert missing == []


@pytest.mark.parametrize("line", [*ASKED, *ALONE])
def test_others_can_change_the_machine_meanwhile(
    rdctl: Program, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(rdctl.home)

    def sandbox(line: str) -> Ran:
        return rdctl("-c", "sandbox", *line.split())

    key = rdctl.home / "key"
    key.write_text("DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:\n")
    key.chmod(0o600)
    rdctl.config.write_text('[contexts.down]\nrapiddisk = "http://127.0.0.1:1"\n')
    for before in ASKED.get(line, ()) or ALONE.get(line, ()):
        ran = sandbox(before)
        assert ran.code == 0, ran.err
    answer = Answer(lambda: sandbox("rapiddisk create 1M --timeout 1"))
    where = "sandbox,down" if line in ASKED else "sandbox"
    ran = rdctl("-c", where, *line.split(), tty=True, stdin=answer)
    assert [(other.code, other.err) for other in answer.found] == [(0, "[sandbox]\n")], ran.err
