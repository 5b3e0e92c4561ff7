"""rdctl rapiddisk over the daemon of the sandbox: what each command shows, does and refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rdctl.cli.tree import root
from tests.conftest import Ran
from tests.test_schemas import commands

Sandbox = Callable[..., Ran]

MADE = (
    "create 64M --count 3",
    "cache create rd1 sdb",
    "cache create rd2 vdb --policy writeback --yes",
    "lock rd3",
)


@pytest.fixture
def lab(served: Sandbox) -> Callable[[str], Ran]:
    """rd0 is exported, rd1 and rd2 cache disks, rd3 is locked; rd4 is nobody's."""

    def call(words: str) -> Ran:
        return served("rapiddisk", *words.split())

    for words in (*MADE, "create 8M"):
        assert call(words).code == 0
    return call


# Looking -----------------------------------------------------------------------------------------

SHOWN = {
    "status --columns status,version,mode": "Status   OK\nVersion  9.2.0\nMode     remote\n",
    "list --columns device,size,locked": (
        "DEVICE      SIZE  LOCKED\n"
        "rd0     33554432  no\n"
        "rd1     67108864  no\n"
        "rd2     67108864  no\n"
        "rd3     67108864  yes\n"
        "rd4      8388608  no\n"
    ),
    "list rd3 /dev/rd0 rd3 -o name": "rd3\nrd0\n",
    "show rd1 --query users[].name": "rc-wt_sdb\n",
    "show rd0 --query users[].kind": "export\n",
    "show /dev/rd4 --query users_seen": "cache\nexport\n",
    "show rd4 --columns device,size,usage,locked,users": (
        "Device  rd4\nSize    8388608\nUsage   0\nLocked  no\nUsers   -\n"
    ),
    "resources --query disks[].[device,size]": (
        "nvme0n1  8589934592\nsda  536870912\nsdb  1073741824\n"
    ),
    "resources --query mem_total": "4103258112\n",
    "cache list": (
        "DEVICE     VOLUME  SOURCE  POLICY\n"
        "rc-wb_vdb  rd2     vdb     writeback\n"
        "rc-wt_sdb  rd1     sdb     write-through\n"
    ),
    "cache stats rc-wt_sdb": (
        "DEVICE     POLICY         READS  HITS  HIT RATE  WRITES\n"
        "rc-wt_sdb  write-through    261     0      0.0%       0\n"
    ),
    "cache stats -o name": "rc-wb_vdb\nrc-wt_sdb\n",
    "cache stats /dev/mapper/rc-wb_vdb --columns errors,num_blocks -o csv": (
        "errors,num_blocks\n0,16320\n"
    ),
    "nvmet list --columns device,enabled,ports": (
        "DEVICE    ENABLED  PORTS\n/dev/rd0  yes      1 tcp 127.0.0.1\n"
    ),
    "nvmet list --columns hosts --no-headers": (
        "nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d\n"
    ),
    "nvmet port list": (
        "PORT  TRANSPORT  ADDRESS    SERVICE  TLS\n"
        "   1  tcp        127.0.0.1  -        -\n"
        "   2  loop       -          -        -\n"
    ),
}


@pytest.mark.parametrize("words", SHOWN)
def test_what_is_shown(lab: Callable[[str], Ran], words: str) -> None:
    ran = lab(words)
    assert (ran.code, ran.out, ran.err) == (0, SHOWN[words], "")


# Changing ----------------------------------------------------------------------------------------

DONE = {
    "create 16": "created rd5 (16777216 bytes)\n",
    "create 16M --count 2 -o name": "rd5\nrd6\n",
    "create 1GiB --overcommit -o name": "rd5\n",
    "resize rd4 16M": "resized rd4 (16777216 bytes)\n",
    "resize rd4 +16M": "resized rd4 (25165824 bytes)\n",
    "resize rd4 4M --yes": "resized rd4 (4194304 bytes)\n",
    "resize rd4 8M": "rd4 is already that size (8388608 bytes)\n",
    "flush rd4 --yes": "erased rd4\n",
    "remove rd4 --yes": "removed rd4\n",
    "lock rd4 rd3": "locked rd4\nrd3 is already locked\n",
    "unlock rd4 rd3": "rd4 is already unlocked\nunlocked rd3\n",
    "cache create rd4 sda": "created rc-wt_sda\n",
    "cache create /dev/rd4 /dev/vdc --policy write-around": "created rc-wa_vdc\n",
    "cache create rd4 sda --policy writeback --yes": "created rc-wb_sda\n",
    "cache create rd1 sdb": "rc-wt_sdb already exists\n",
    "cache remove rc-wt_sdb rc-wb_vdb --yes": "removed rc-wt_sdb\nremoved rc-wb_vdb\n",
}


@pytest.mark.parametrize("words", DONE)
def test_what_is_done(lab: Callable[[str], Ran], words: str) -> None:
    ran = lab(words)
    assert (ran.code, ran.out) == (0, DONE[words])
    assert ran.err in ("[served]\n", "")


def test_a_growth_is_shown_as_the_resulting_size(lab: Callable[[str], Ran]) -> None:
    """So that the line that is shown can be repeated without growing the volume twice."""
    for words in ("--dry-run --trace", "--trace"):
        ran = lab(f"resize rd4 +4Mi {words}")
        assert "resizeRapidDisk/rd4/12\n" in ran.err, ran
    assert lab("resize rd4 12M").out == "rd4 is already that size (12582912 bytes)\n"


def test_a_used_volume_becomes_a_cache_only_when_its_contents_may_go(
    lab: Callable[[str], Ran],
) -> None:
    """A volume keeps the blocks that it cached."""
    assert lab("cache remove rc-wt_sdb --yes").code == 0
    refused = lab("cache create rd1 sda --json --yes")
    assert (refused.code, refused.json["error"]["code"]) == (4, "not-empty")
    assert "erase it first: rdctl -c served rapiddisk flush rd1" in refused.err
    assert lab("cache create rd1 sda --discard-contents").code == 2
    assert lab("cache create rd1 sda --discard-contents --yes").code == 0


# Refusing ----------------------------------------------------------------------------------------

# Exit code, error code, and words of the message or the hint. All with --yes, which overrides none.
REFUSED = {
    "show rd9": (3, "not-found", "Existing volumes: rd0, rd1, rd2, rd3, rd4."),
    "list rd0 rd9": (3, "not-found", "volume rd9 not found"),
    "show sda": (2, "usage", 'invalid volume name "sda"'),
    "show rd12345678": (2, "usage", "invalid volume name"),
    "cache stats rd0": (2, "usage", 'invalid cache name "rd0"'),
    # It caches sdb already: that is not what was asked for.
    "cache create rd1 rd1": (4, "conflict", "rd1 cannot cache itself"),
    "cache stats rc-wt_sda": (3, "not-found", "cache rc-wt_sda not found"),
    "cache remove rc-wa_sdb": (3, "not-found", "Existing caches: rc-wb_vdb, rc-wt_sdb."),
    "create 1000B": (2, "usage", "Nearest: 1M."),
    "create 1500K": (2, "usage", "Nearest: 1M or 2M."),
    "create 2097152": (2, "usage", "For bytes write 2097152B."),
    "create big": (2, "usage", 'invalid size "big"'),
    "create 8G": (4, "conflict", "use --overcommit"),
    "resize rd4 8G": (4, "conflict", "use --overcommit"),
    "resize rd4 +0M": (2, "usage", "minimum is 1M"),
    "resize rd4 -1M": (2, "usage", "-1"),
    "resize rd4 ++1M": (2, "usage", "invalid size"),
    "resize rd9 8M": (3, "not-found", "volume rd9 not found"),
    "resize rd3 128M": (4, "locked", "rdctl -c served rapiddisk unlock rd3"),
    "resize rd1 32M": (4, "in-use", "rdctl -c served rapiddisk cache remove rc-wt_sdb"),
    "flush rd0": (4, "in-use", "exported over NVMe-oF as"),
    "flush rd1": (4, "in-use", "used by cache rc-wt_sdb"),
    "flush rd3": (4, "locked", "rd3 is locked"),
    "remove rd0": (4, "in-use", "exported over NVMe-oF as"),
    "remove rd1": (4, "in-use", "used by cache rc-wt_sdb"),
    "remove rd3": (4, "locked", "rd3 is locked"),
    "lock rd9": (3, "not-found", "volume rd9 not found"),
    "cache create rd0 sda": (4, "in-use", "exported over NVMe-oF as"),
    "cache create rd1 sda": (4, "in-use", "used by cache rc-wt_sdb"),
    "cache create rd3 sda": (4, "locked", "rd3 is locked"),
    "cache create rd4 rd4": (4, "conflict", "rd4 cannot cache itself"),
    "cache create rd4 sdb": (4, "in-use", "used by cache rc-wt_sdb"),
    "cache create rd4 rd3": (4, "locked", "rd3 is locked"),
    "cache create rd4 nowhere": (3, "not-found", "Check the name of the source: rdctl"),
    "cache create rd4 ../sda": (2, "usage", "Use a name directly below /dev"),
    "cache create rd4 sda --policy writethrough": (2, "usage", 'did you mean "write-through"?'),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused(lab: Callable[[str], Ran], words: str) -> None:
    code, word, message = REFUSED[words]
    before = lab("list").out
    ran = lab(f"{words} --yes --json")
    error = ran.json["error"] if "error" in ran.json else ran.json["errors"][0]
    assert (ran.code, error["code"]) == (code, word)
    assert message in f"{error['message']} {error['hint']}"
    assert error["message"] in ran.err
    assert lab("list").out == before


ASKING = [
    "flush rd4",
    "remove rd4",
    "resize rd4 4M",
    "cache create rd4 sda --policy writeback",
    "cache remove rc-wt_sdb",
]
NOT_ASKING = [
    "create 8M",
    "resize rd4 16M",
    "lock rd4",
    "unlock rd3",
    "cache create rd4 sda",
]


@pytest.mark.parametrize("words", ASKING)
def test_what_destroys_asks(lab: Callable[[str], Ran], words: str) -> None:
    before = lab("list").out, lab("cache list").out
    ran = lab(f"{words} --json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "consent-missing")
    assert (lab("list").out, lab("cache list").out) == before
    assert lab(f"{words} --yes").code == 0


@pytest.mark.parametrize("words", NOT_ASKING)
def test_what_does_not_destroy_does_not_ask(lab: Callable[[str], Ran], words: str) -> None:
    assert lab(words).code == 0


# This machine ------------------------------------------------------------------------------------

LOCAL = [
    "save rd1 rd1.img",
    "load rd1.img rd1",
    "cache sync rc-wb_vdb",
    "nvmet export rd4 --port 1 --any-host",
    "nvmet unexport rd0",
    "nvmet revalidate rd0",
    "nvmet port add 3 --transport loop",
    "nvmet port remove 2",
    "nvmet host list",
    "nvmet host set nqn.2014-08.org.nvmexpress:uuid:7a --no-auth",
    "dump",
    "diff",
    "apply",
    "undo",
    "boot enable",
    "boot disable",
    "boot status",
    "boot stop",
    "daemon status",
    "daemon start",
    "daemon stop",
    "daemon enable",
    "daemon disable",
]


@pytest.mark.parametrize("words", LOCAL)
def test_what_only_this_machine_can_is_not_done_elsewhere(
    lab: Callable[[str], Ran], words: str
) -> None:
    before = lab("nvmet list").out, lab("nvmet port list").out
    ran = lab(f"{words} --yes --json")
    assert (ran.code, ran.json["error"]["code"]) == (11, "unsupported")
    assert (lab("nvmet list").out, lab("nvmet port list").out) == before


def test_all_of_that_is_tried() -> None:
    local = {path for path, command in commands(root) if getattr(command, "local_only", False)}
    assert local == {f"rapiddisk {path}" for path in map(verb_of, LOCAL)}


def verb_of(words: str) -> str:
    """The nouns and the verb at the head of a command."""
    known = ("cache", "nvmet", "port", "host", "boot", "daemon")
    path = words.split()
    return " ".join(path[: next(n for n, word in enumerate(path) if word not in known) + 1])
