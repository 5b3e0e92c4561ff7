"""Live names: where they come from, and what is never done for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdctl.completion import names
from rdctl.completion.answer import _site
from rdctl.completion.request import Candidate, made
from rdctl.config.contexts import Config
from rdctl.core.errors import RdctlError
from rdctl.core.results import Failure
from tests.completion.conftest import SANDBOX, Completion, Served
from tests.fakes.kernel import FakeKernel

MIB = 1 << 20

# One question of each kind: the arguments before it.
QUESTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("context", "contexts"), ()),
    **dict.fromkeys(names.HERE, ()),
    **dict.fromkeys(names.RAPIDDISK, ()),
    **dict.fromkeys(names.HISTORY, ()),
    **dict.fromkeys(sorted(names.OPENIO.keys() - {"key", "assignment"}), ()),
    "content": ("photos",),
    "address": ("rawx",),
    "slot": ("rawx",),
    "linked": ("photos", "meta2"),
    "variable": ("proxy",),
    "variable-assignment": ("proxy",),
    "key:reference": ("photos",),
    "key:container": ("photos",),
    "key:content": ("photos", "index.txt"),
    "key:admin": ("photos",),
    "assignment:container": ("photos",),
}
# POST is no sign of a change: these only ask.
ASKING = ("get_properties",)


def test_commands_of_the_history_are_offered(complete: Completion) -> None:
    """The newest first, with their words; those of the sandbox in the sandbox only."""
    for words in (["create", "64M"], ["lock", "rd1"]):
        assert complete.rdctl("-c", "sandbox", "rapiddisk", *words).code == 0
    lock, create = complete.about("command")
    assert create.about == "-c sandbox rapiddisk create 64M"
    assert lock.about == "-c sandbox rapiddisk lock rd1"
    assert complete.about("command", where=()) == []


# --- where they come from -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "args", "found"),
    [
        ("volume", (), ["rd0"]),
        ("cache", (), []),
        ("device", (), ["rd0"]),
        ("source", (), ["nvme0n1", "sda", "sdb", "vdb", "vdc"]),
        ("port", (), ["1", "2"]),
        ("export", (), ["rd0"]),
        ("nqn", (), ["nqn.2021-06.org.rapiddisk:sandbox-rd0"]),
        ("host", (), ["nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d"]),
        ("interface", (), ["down0", "eth0", "lo"]),
        ("ip", (), ["fd00::7", "10.0.2.15", "127.0.0.1"]),
        ("account", (), ["sandbox"]),
        ("container", (), ["photos"]),
        (
            "policy",
            (),
            "SINGLE TWOCOPIES THREECOPIES 17COPIES EC EC42 EC21 BACKBLAZE".split(),
        ),
        ("address", ("rdir",), ["127.0.0.1:16018", "127.0.0.1:16019"]),
        ("address", ("user1", "rdir"), ["127.0.0.1:16018", "127.0.0.1:16019"]),
        ("address", ("rdir", "127.0.0.1:16018"), ["127.0.0.1:16019"]),
        ("replica", ("photos",), ["127.0.0.1:16009", "127.0.0.1:16010", "127.0.0.1:16011"]),
        ("key:container", ("photos",), ["owner"]),
        ("assignment:container", ("photos",), ["owner="]),
        ("assignment:container", ("photos", "owner="), []),
        ("key:container", ("nosuch",), []),
        ("content", ("nosuch",), []),
        ("account", ("sandbox",), ["sandbox"]),
        ("container", ("photos",), []),
        ("content", (), []),
        ("nosuch", (), []),
    ],
)
def test_names_in_the_sandbox(
    complete: Completion, kind: str, args: tuple[str, ...], found: list[str]
) -> None:
    assert complete(kind, *args) == found


def test_what_is_told_beside_them(complete: Completion) -> None:
    assert complete.about("volume") == [Candidate("rd0", "32.0 MiB")]
    assert complete.about("container") == [Candidate("photos", "5 objects, 733 B")]
    assert Candidate("TWOCOPIES", "rawx2:DUPONETWO") in complete.about("policy")
    assert Candidate("127.0.0.1:16018", "rdir, score 97") in complete.about("address", "rdir")


def test_services_of_all_types_and_of_one(complete: Completion) -> None:
    everything = complete("address")
    assert {"127.0.0.1:16006", "127.0.0.1:16013", "127.0.0.1:16019"} <= set(everything)
    assert complete("type-or-address", "meta2", "rdir")[-2:] == [
        "127.0.0.1:16018",
        "127.0.0.1:16019",
    ]
    assert "rawx" in complete("type-or-address", "meta2", "rdir")
    rdir = complete("replica", "photos", where=(*SANDBOX, "--type", "rdir"))
    assert rdir == complete("address", "rdir")


def test_contents_by_prefix_and_by_id(complete: Completion) -> None:
    every = complete("content", "photos")
    assert "index.txt" in every
    alps = complete("content", "photos", text="alps/")
    assert alps == [name for name in every if name.startswith("alps/")] != []
    assert complete("content", "photos", "index.txt") == [n for n in every if n != "index.txt"]
    shown = complete.rdctl(*SANDBOX, "oio", "container", "show", "photos", "--json").json
    cid = shown["items"][0]["cid"]
    assert complete("content", where=(*SANDBOX, "--cid", cid)) == every
    assert complete("key:container", where=(*SANDBOX, f"--cid={cid}")) == ["owner"]
    # An argument, now that the container is named by its id.
    assert complete("key:container", "owner", where=(*SANDBOX, "--cid", cid)) == ["owner"]


def test_flat_names(complete: Completion) -> None:
    """What is in other containers is not searched for; keys are those of the one object."""
    file = complete.rdctl.home / "index.txt"
    file.write_text("data")
    for words in (["--auto"], ["--auto", "--flat-bits", "9"]):
        key = "long" if words[1:] else "color"
        put = ("content", "put", *words, "--autocreate", str(file), "-p", f"{key}=blue")
        assert complete.rdctl(*SANDBOX, "oio", *put).code == 0
        assert complete("content", where=(*SANDBOX, *words)) == []
        assert complete("key:content", "index.txt", where=(*SANDBOX, *words)) == [key]


def test_contexts(complete: Completion) -> None:
    complete.rdctl.config.write_text(
        '[contexts.lab]\nrapiddisk = "local"\n[contexts.prod]\noio = "http://h:1"\naccount = "a"\n'
    )
    assert complete.about("context", where=())[:2] == [
        Candidate("lab", "local"),
        Candidate("prod", "http://h:1, a"),
    ]
    assert complete("contexts", text="lab,pr", where=()) == ["prod", "sandbox"]
    assert complete("contexts", text="lab,sandbox,", where=()) == ["prod"]
    assert complete("contexts", text="lab", where=()) == ["lab", "prod", "sandbox"]
    # Half typed, or wrong: it does not matter here.
    assert complete("contexts", where=("-c", "nosuch", "--local")) == ["lab", "prod", "sandbox"]


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "sandbox"),
        ("-csandbox",),
        ("-yqcsandbox",),
        ("-yc", "sandbox"),
        ("--context", "sandbox"),
        ("--context=sandbox",),
        ("oio", "--json", "-c", "nosuch", "container", "show", "--context=sandbox"),
        ("-c", "sandbox", "--", "-c", "nosuch"),
        ("-c", "sandbox,lab"),
    ],
)
def test_the_context_in_every_spelling(complete: Completion, words: tuple[str, ...]) -> None:
    complete.rdctl.config.write_text('[contexts.lab]\nrapiddisk = "local"\n')
    assert complete("container", where=words) == ["photos"]


def test_settings_come_from_options_and_variables(complete: Completion, served: Served) -> None:
    options = dict(zip(served.where[::2], served.where[1::2], strict=True))
    spelt = tuple(f"{option}={value}" for option, value in options.items())
    assert complete("container", where=spelt) == ["photos"]
    complete.environ |= {
        "OIO_NS": "OPENIO",
        "OIO_ACCOUNT": "sandbox",
        "OIO_PROXYD_URL": options["--oio-url"],
        "RDCTL_RAPIDDISK_URL": options["--rapiddisk-url"],
    }
    assert complete("content", "photos", text="index", where=()) == ["index.txt"]
    assert complete("volume", where=()) == ["rd0"]
    assert complete("volume", where=("--local",)) == []
    assert complete("container", where=("--account", "nobody")) == []


# --- many, and strange ones ---------------------------------------------------------------------

HOSTILE = [
    "a b",
    "it's",
    'say "x"',
    "a:b:c",
    "k=v",
    "$HOME",
    "`id`",
    "back\\slash",
    "star*",
    "#no",
    "~root",
    "bang!",
    "{a,b}",
    "umläut",
    "人",
    " blank",
]
UNFIT = ["new\nline", "tab\there", "\x1b[31m", "c1\x9b", "\u202eright", "\u2028"]


def test_strange_names_come_and_unfit_ones_do_not(complete: Completion) -> None:
    created = complete.rdctl(
        *SANDBOX, "oio", "container", "create", "--", *HOSTILE, *UNFIT, "-dash", "--json"
    )
    assert created.code == 0, created.err
    assert set(complete("container")) == {*HOSTILE, "photos"}
    # What would be an option is offered where nothing is an option any more.
    assert set(complete("container", where=(*SANDBOX, "--"))) == {
        *HOSTILE,
        "photos",
        "-dash",
        "--json",
    }


def test_of_too_many_one_tells_where_they_part(complete: Completion, served: Served) -> None:
    many = [f"a/{number:03}" for number in range(names.MOST + 50)]
    made = complete.rdctl(*SANDBOX, "oio", "container", "create", "-q", *many, "b", "c")
    assert made.code == 0
    for where in (SANDBOX, served.where):
        offered = complete("container", where=where)
        assert offered == [*many[: names.MOST], "b"]
        # These share nothing beyond what was typed.
        assert complete("container", text="a/", where=where) == many[: names.MOST]
        assert complete("container", text="a/24", where=where) == many[240:250]


# --- what is never done -------------------------------------------------------------------------


def test_where_no_sandbox_is_none_is_made(asked: Completion) -> None:
    for kind, args in QUESTIONS.items():
        offered = asked(kind, *args)
        assert offered == (["sandbox"] if kind in ("context", "contexts") else [])
    asked.rdctl.sandbox.touch()
    assert asked("volume") == []
    assert asked.rdctl.sandbox.read_bytes() == b""
    assert [path.name for path in asked.rdctl.home.iterdir()] == ["sandbox.db"]


@pytest.mark.parametrize(("kind", "args"), QUESTIONS.items())
def test_no_kind_changes_anything(
    complete: Completion,
    served: Served,
    state: Callable[[], dict[str, list[Any]]],
    kind: str,
    args: tuple[str, ...],
) -> None:
    before = state()
    complete(kind, *args)
    complete(kind, *args, where=served.where)
    assert state() == before
    asks_nobody = kind in names.HERE | names.HISTORY or kind.startswith("context")
    assert bool(served.sent) != asks_nobody
    for line in served.sent:
        method, path = line.split(" ", 1)
        assert method == "GET" or path.partition("?")[0].endswith(ASKING)
        assert "listAllNVMeTargets" not in path


def test_the_door_is_shut(complete: Completion) -> None:
    """Whatever a kind may come to call: no change leaves."""
    environment = complete.environment
    config = Config(environment.environ, environment.root, environment.home())
    site = _site(made("volume", "", [], SANDBOX), config, environment)
    with pytest.raises(RdctlError, match=r"completion must not change anything: create rd1"):
        site.rapiddisk._backend.create(1 << 20, None)
    (failure,) = site.rapiddisk.volumes.set_lock(["rd0"], True).outcomes
    assert isinstance(failure, Failure)
    assert "completion must not change anything" in failure.error.message
    assert complete("volume") == ["rd0"]


def test_this_machine(complete: Completion, kernel: FakeKernel) -> None:
    kernel.add_volume(0)
    kernel.add_volume(1, 8 * MIB)
    kernel.map_cache("rc-wt_sdb", "rd1", "sdb")
    kernel.add_port(3)
    words = ("nvmet", "export", "rd0", "--port", "3", "--host", "nqn.2014-08.h:1")
    own = {"RDCTL_HISTORY": complete.environment.environ["RDCTL_HISTORY"]}
    exported = complete.rdctl("--local", "rapiddisk", *words, env=own)
    assert exported.code == 0, exported.err
    before = tree(complete.rdctl.root)
    programs = list(kernel.calls)

    def here(kind: str, text: str = "") -> list[Candidate]:
        return complete.about(kind, text=text, where=("--local",))

    assert here("volume") == [Candidate("rd0", "64.0 MiB"), Candidate("rd1", "8.0 MiB")]
    assert here("cache") == [Candidate("rc-wt_sdb", "rd1 caches sdb")]
    assert [name for name, _ in here("device")] == ["rd0", "rd1", "rc-wt_sdb"]
    assert Candidate("sdb", "1.0 GiB") in here("source")
    assert Candidate("/dev/sdb", "1.0 GiB") in here("source", "/dev/s")
    assert here("port") == [Candidate("3", "tcp 10.0.2.15 4420")]
    ((device, nqn),) = here("export")
    assert device == "rd0"
    assert here("nqn") == [Candidate(nqn, "/dev/rd0")]
    assert here("host") == [Candidate("nqn.2014-08.h:1")]
    assert "lo" in [name for name, _ in here("interface")]
    here("ip")
    ((_, about),) = here("undoable")
    assert about.startswith("rdctl --local rapiddisk nvmet export rd0 ")
    assert tree(complete.rdctl.root) == before
    assert kernel.calls == programs
    assert not complete.cache.exists()


@pytest.fixture
def sources(complete: Completion, kernel: FakeKernel) -> Callable[[str], list[Candidate]]:
    """What a volume may cache on a machine with all kinds of devices."""
    kernel.add_volume(0)
    kernel.add_volume(1)
    for number in (2, 10):
        kernel.add_partition("sda", f"sda{number}", f"8:{number}")
    kernel.add_disk("nvme0n1", 8 * MIB, "259:0")
    kernel.add_partition("nvme0n1", "nvme0n1p1", "259:1")
    kernel.loop(0, "/dev/vdc")
    kernel.raid("md0", "vdc")
    kernel.map_linear("vg0-data", "sda2")
    kernel.map_linear("sdb", "sda10")  # as a disk is called
    kernel.map_linear("pool-tmeta", "vdb")
    kernel.put("sys/block/dm-2/dm/uuid", f"LVM-{'a1' * 32}-tmeta\n")
    kernel.put("sys/block/dm-0/dm/uuid", f"LVM-{'a1' * 32}\n")
    kernel.map_cache("rc-wt_vdb", "rd1", "vdb")
    kernel.begin_mapping("half")
    kernel.add_partition("vdc", "vdc1", "254:33")
    kernel.put("sys/block/vdc/vdc1/size", "2\n")  # an extended one
    return lambda text: complete.about("source", "rd0", text=text, where=("--local",))


def test_sources_on_this_machine(sources: Callable[[str], list[Candidate]]) -> None:
    assert sources("") == [
        Candidate("md0", "8.0 MiB"),
        Candidate("nvme0n1", "8.0 MiB"),
        Candidate("nvme0n1p1", "1.0 MiB"),
        Candidate("sda", "512.0 MiB QEMU QEMU HARDDISK"),
        Candidate("sda2", "1.0 MiB"),
        Candidate("sda10", "1.0 MiB"),
        Candidate("sdb", "1.0 GiB"),
        Candidate("vdb", "512.0 MiB"),
        Candidate("vdc", "512.0 MiB"),
        Candidate("vg0-data", "1.0 MiB"),
        Candidate("mapper/sdb", "1.0 MiB"),
    ]
    paths = [name for name, _ in sources("/dev/s")]
    assert paths[:3] == ["/dev/md0", "/dev/nvme0n1", "/dev/nvme0n1p1"]
    assert paths[-2:] == ["/dev/mapper/vg0-data", "/dev/mapper/sdb"]
    assert [name for name, _ in sources("mapper/v")][-2:] == ["mapper/vg0-data", "mapper/sdb"]


@pytest.mark.parametrize("text", ["", "/dev/", "mapper/"])
def test_a_source_can_be_given_as_it_is_offered(
    sources: Callable[[str], list[Candidate]], complete: Completion, kernel: FakeKernel, text: str
) -> None:
    numbers = set()
    for name, _ in sources(text):
        path = name if name.startswith("/") else f"/dev/{name}"
        if not kernel.path(path).exists():
            path = f"/dev/mapper/{name}"
        numbers.add(kernel.device_number(str(kernel.path(path))))
        planned = complete.rdctl(
            "--local", "rapiddisk", "cache", "create", "rd0", name, "--dry-run", "--json"
        )
        # A device that is in use was found, too.
        if planned.code:
            assert planned.json["error"]["code"] == "in-use", planned.err
    assert len(numbers) == 11
    assert None not in numbers


def tree(root: Path) -> list[tuple[str, str | bytes]]:
    """Every path below it, with what the files hold and where the links lead."""
    return [
        (str(path), str(path.readlink()) if path.is_symlink() else path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    ]
