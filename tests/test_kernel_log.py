"""The judge of the kernel's log in tests/kernel, against what a kernel logged."""

from __future__ import annotations

from tests.kernel.log import Faults

# Linux 6.1.0-56-amd64, module rapiddisk 9.0.0, two programs that write; the traces are shortened.
WAITS = """\
BUG: scheduling while atomic: {task}/0x00000002
CPU: 1 PID: 597 Comm: dd Tainted: G        W  OE      6.1.0-56-amd64 #1  Debian 6.1.192-2
Call Trace:
 <TASK>
 __schedule_bug.cold+0x42/0x4e
 __schedule+0x804/0xa00
 schedule_preempt_disabled+0x11/0x20
 __mutex_lock.constprop.0+0x6e6/0x720
 ? __mutex_unlock_slowpath.constprop.0+0x83/0x100
 rdsk_submit_bio+0x508/0x81f [rapiddisk]
 ? rdsk_submit_bio+0x5a3/0x81f [rapiddisk]
 __submit_bio+0x8c/0x130
 </TASK>"""
OWED = """\
BUG: scheduling while atomic: {task}/0x00000000
Call Trace:
 <TASK>
 __schedule_bug.cold+0x42/0x4e
 __schedule+0x804/0xa00
 schedule+0x5a/0xd0
 exit_to_user_mode_prepare+0x17c/0x240
 </TASK>"""
LEAKED = """\
BUG: workqueue leaked lock or atomic: kworker/1:1H/0x7fffffff/56
     last function: nvmet_tcp_io_work [nvmet_tcp]"""
# A wait of somebody else, in the way of whom RapidDisk is.
OTHER = """\
BUG: scheduling while atomic: {task}/0x00000002
Call Trace:
 <TASK>
 __schedule_bug.cold+0x42/0x4e
 schedule_timeout+0x11/0x20
 io_schedule_timeout+0x4e/0x80
 rdsk_submit_bio+0x508/0x81f [rapiddisk]
 </TASK>"""
CALM = "rapiddisk: Attached rd0 of 16777216 bytes in size."


def unknown(faults: Faults, *reports: str) -> list[str]:
    """The first line of each."""
    lines = "\n".join(reports).splitlines()
    return [report.splitlines()[0] for report in faults.unknown(lines)]


def test_a_calm_log() -> None:
    faults = Faults()
    assert unknown(faults) == unknown(faults, CALM, CALM) == []
    assert faults.known == 0


def test_the_module_waits_where_it_must_not() -> None:
    faults = Faults()
    dd, worker = "dd/597", "kworker/1:1H/56"
    assert unknown(faults, CALM, WAITS.format(task=dd), OWED.format(task=dd), CALM) == []
    # Its consequences may be told of in a later test.
    assert unknown(faults, WAITS.format(task=worker)) == []
    assert unknown(faults, CALM, LEAKED, OWED.format(task=worker)) == []
    assert faults.known == 2


def test_consequences_without_a_cause() -> None:
    faults = Faults()
    first = OWED.format(task="dd/597").splitlines()[0]
    assert unknown(faults, OWED.format(task="dd/597")) == [first]
    assert unknown(faults, LEAKED) == [LEAKED.splitlines()[0]]
    # They are those of one task, and end with its next wait.
    assert unknown(faults, WAITS.format(task="dd/596"), OWED.format(task="dd/597")) == [first]
    assert unknown(faults, WAITS.format(task="dd/597"), OWED.format(task="dd/597")) == []
    assert unknown(faults, OWED.format(task="dd/597")) == [first]


def test_other_faults() -> None:
    faults = Faults()
    for fault in (
        OTHER.format(task="dd/597"),
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "kernel BUG at mm/slub.c:435!",
        "Oops: 0000 [#1] PREEMPT SMP NOPTI",
        "general protection fault, probably for non-canonical address 0xdead",
    ):
        assert unknown(faults, CALM, fault, CALM) == [fault.splitlines()[0]]
    # One between a known one and its consequence is seen; all of it is shown.
    task = "dd/597"
    lines = "\n".join([WAITS.format(task=task), OTHER.format(task="x/1"), OWED.format(task=task)])
    assert faults.unknown(lines.splitlines()) == [OTHER.format(task="x/1")]
