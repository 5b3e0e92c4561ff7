"""Live names: where they come from, what is never done for them, the cache, the words of bash."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdctl.completion import names
from rdctl.completion.names import Name
from rdctl.config.contexts import Config
from rdctl.core.errors import RdctlError
from rdctl.core.results import Failure
from rdctl.core.units import CONTROL
from tests.completion.conftest import SANDBOX, Completion, Served
from tests.fakes.faults import FaultServer, json
from tests.fakes.kernel import FakeKernel

MIB = 1 << 20

# One question of each kind: the arguments before it.
QUESTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("context", "contexts"), ()),
    **dict.fromkeys(names.HERE, ()),
    **dict.fromkeys(names.RAPIDDISK, ()),
    **dict.fromkeys(sorted(names.OPENIO.keys() - {"key", "assignment"}), ()),
    "content": ("photos",),
    "address": ("rawx",),
    "key:reference": ("photos",),
    "key:container": ("photos",),
    "key:content": ("photos", "index.txt"),
    "key:admin": ("photos",),
    "assignment:container": ("photos",),
}
# POST is no sign of a change: these only ask.
ASKING = ("get_properties",)


# --- where they come from -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "args", "found"),
    [
        ("volume", (), ["rd0"]),
        ("cache", (), []),
        ("device", (), ["rd0"]),
        ("source", (), ["nvme0n1", "sda", "sdb"]),
        ("port", (), ["1", "2"]),
        ("export", (), []),
        ("nqn", (), []),
        ("host", (), []),
        ("interface", (), []),
        ("ip", (), []),
        ("account", (), ["sandbox"]),
        ("container", (), ["photos"]),
        ("policy", (), ["SINGLE", "TWOCOPIES", "THREECOPIES", "17COPIES", "EC", "BACKBLAZE"]),
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
    assert complete.about("volume") == [Name("rd0", "32.0 MiB")]
    assert complete.about("container") == [Name("photos", "5 objects, 733 B")]
    assert Name("TWOCOPIES", "rawx2:DUPONETWO") in complete.about("policy")
    assert Name("127.0.0.1:16018", "rdir, score 97") in complete.about("address", "rdir")


def test_services_of_all_types_and_of_one(complete: Completion) -> None:
    everything = complete("address")
    assert {"127.0.0.1:16006", "127.0.0.1:16013", "127.0.0.1:16019"} <= set(everything)
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


def test_contexts(complete: Completion) -> None:
    complete.rdctl.config.write_text(
        '[contexts.lab]\nrapiddisk = "local"\n[contexts.prod]\noio = "http://h:1"\naccount = "a"\n'
    )
    assert complete.about("context", where=())[:2] == [
        Name("lab", "local"),
        Name("prod", "http://h:1, a"),
    ]
    assert complete("contexts", text="lab,pr", where=()) == ["lab", "prod", "sandbox"]
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
    asks_nobody = kind in names.HERE or kind.startswith("context")
    assert bool(served.sent) != asks_nobody
    for line in served.sent:
        method, path = line.split(" ", 1)
        assert method == "GET" or path.partition("?")[0].endswith(ASKING)
        assert "listAllNVMeTargets" not in path


def test_the_door_is_shut(complete: Completion) -> None:
    """Whatever a kind may come to call: no change leaves."""
    world = complete.world
    config = Config(world.environ, world.root, world.home())
    site = names._site(names.made("volume", "", [], SANDBOX), config, world)
    with pytest.raises(RdctlError, match="completion changes nothing: create a volume of 1 MiB"):
        site.rapiddisk._backend.create(1, None)
    (failure,) = site.rapiddisk.volumes.set_lock(["rd0"], True).outcomes
    assert isinstance(failure, Failure)
    assert "completion changes nothing" in failure.error.message
    assert complete("volume") == ["rd0"]


def test_this_machine(complete: Completion, kernel: FakeKernel) -> None:
    kernel.add_volume(0)
    kernel.add_volume(1, 8 * MIB)
    kernel.map_cache("rc-wt_sdb", "rd1", "sdb")
    kernel.add_port(3)
    exported = complete.rdctl(
        "--local", "rapiddisk", "nvmet", "export", "rd0", "--port", "3", "--host", "nqn.2014-08.h:1"
    )
    assert exported.code == 0, exported.err
    before = tree(complete.rdctl.root)
    programs = list(kernel.calls)

    def here(kind: str, text: str = "") -> list[Name]:
        return complete.about(kind, text=text, where=("--local",))

    assert here("volume") == [Name("rd0", "64.0 MiB"), Name("rd1", "8.0 MiB")]
    assert here("cache") == [Name("rc-wt_sdb", "rd1 caches sdb")]
    assert [name for name, _ in here("device")] == ["rd0", "rd1", "rc-wt_sdb"]
    assert Name("sdb", "1.0 GiB") in here("source")
    assert Name("/dev/sdb", "1.0 GiB") in here("source", "/dev/s")
    assert here("port") == [Name("3", "tcp 10.0.2.15 4420")]
    ((device, nqn),) = here("export")
    assert device == "rd0"
    assert here("nqn") == [Name(nqn, "/dev/rd0")]
    assert here("host") == [Name("nqn.2014-08.h:1")]
    assert "lo" in [name for name, _ in here("interface")]
    here("ip")
    assert tree(complete.rdctl.root) == before
    assert kernel.calls == programs
    assert not complete.cache.exists()


def tree(root: Path) -> list[tuple[str, str | bytes]]:
    """Every path below it, with what the files hold and where the links lead."""
    return [
        (str(path), str(path.readlink()) if path.is_symlink() else path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    ]


# --- the cache ----------------------------------------------------------------------------------


def files(complete: Completion) -> list[Path]:
    return list(complete.cache.iterdir())


def test_an_answer_is_good_for_some_seconds(complete: Completion, served: Served) -> None:
    assert complete("volume", where=served.where) == ["rd0"]
    sent = len(served.sent)
    assert complete("volume", text="rd", where=served.where) == ["rd0"]
    assert len(served.sent) == sent
    assert complete("volume", "rd1", where=served.where) == ["rd0"]
    assert len(served.sent) == sent
    # Others ask for themselves.
    complete("cache", where=served.where)
    complete("volume", where=SANDBOX)
    assert len(served.sent) == sent + 1
    now = complete.rdctl.now
    complete.rdctl.now = lambda: now() + names.FRESH
    assert complete("volume", where=served.where) == ["rd0"]
    assert len(served.sent) == sent + 2
    # What was too old by then has gone.
    assert len(files(complete)) == 1


def test_a_failure_is_kept_as_well(complete: Completion) -> None:
    with FaultServer([json({"status": 500, "message": "x"})]) as server:
        where = ("--oio-url", server.url, "--namespace", "N", "--account", "a")
        assert complete("container", where=where) == []
        assert len(server.requests) > 0
        asked = len(server.requests)
        assert complete("container", where=where) == []
        assert len(server.requests) == asked
    assert [path.read_bytes() for path in files(complete)] == [b""]


def test_the_cache_is_ours_alone(complete: Completion) -> None:
    old = os.umask(0)
    try:
        complete("volume")
    finally:
        os.umask(old)
    (path,) = files(complete)
    assert stat.S_IMODE(complete.cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_cache_goes_where_it_belongs(complete: Completion, tmp_path: Path) -> None:
    complete.environ["XDG_CACHE_HOME"] = str(tmp_path / "else" / "where")
    complete("volume")
    assert len(list((tmp_path / "else" / "where" / "rdctl").iterdir())) == 1
    complete.environ["XDG_CACHE_HOME"] = "relative"
    complete("volume")
    assert len(files(complete)) == 1
    assert not Path("relative").exists()


def spoil_mode(path: Path) -> None:
    path.chmod(0o620)


def spoil_owner(path: Path) -> None:
    os.chown(path, 12345, -1)


def spoil_folder_mode(path: Path) -> None:
    path.parent.chmod(0o770)


def spoil_folder_owner(path: Path) -> None:
    os.chown(path.parent, 12345, -1)


def spoil_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def spoil_folder_by_link(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


def spoil_kind(path: Path) -> None:
    path.unlink()
    path.mkdir()


def spoil_future(path: Path) -> None:
    later = path.stat().st_mtime + 3600
    os.utime(path, (later, later))


def spoil_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\n")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_mode,
        spoil_owner,
        spoil_folder_mode,
        spoil_folder_owner,
        spoil_by_link,
        spoil_folder_by_link,
        spoil_kind,
        spoil_future,
        spoil_text,
    ],
)
def test_no_cache_of_others_is_believed(
    complete: Completion, spoil: Callable[[Path], None]
) -> None:
    if "owner" in spoil.__name__ and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    complete("volume")
    (path,) = files(complete)
    path.write_text("evil\t\n")
    spoil(path)
    assert complete("volume") == ["rd0"]


def test_our_own_fresh_cache_is_believed(complete: Completion) -> None:
    """So the test above shows something."""
    complete("volume")
    (path,) = files(complete)
    path.write_text("kept\tthere\n")
    assert complete.about("volume") == [Name("kept", "there")]


def test_root_leaves_nothing_in_the_home_of_another(complete: Completion) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can")
    os.chown(complete.rdctl.home, 12345, -1)
    assert complete("volume") == ["rd0"]
    assert not (complete.rdctl.home / ".cache").exists()


def test_without_a_cache_it_works_as_well(complete: Completion) -> None:
    (complete.rdctl.home / ".cache").write_text("a file")
    assert complete("volume") == ["rd0"]
    assert complete("volume") == ["rd0"]


def test_it_never_grows(complete: Completion) -> None:
    complete("volume")
    now = complete.rdctl.now
    for number in range(5):
        (complete.cache / f"names-{number}.part").touch()
    (complete.cache / "other").touch()
    complete.rdctl.now = lambda: now() + names.FRESH + 1
    complete("cache")
    assert len(files(complete)) == 2
    assert (complete.cache / "other").exists()


# --- the words of bash --------------------------------------------------------------------------


class Words:
    """A bash that tells what a word means to it."""

    def __init__(self) -> None:
        # History is not expanded where nobody types.
        self.process = subprocess.Popen(
            [
                "bash",
                "--norc",
                "-c",
                r"""while IFS= read -r w; do eval "printf '%s\n' $w" || echo; done""",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"},
        )

    def __call__(self, word: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().removesuffix("\n")


@pytest.fixture(scope="module")
def meaning() -> Iterator[Words]:
    words = Words()
    yield words
    words.process.communicate()


NAMES = st.text(min_size=1).filter(lambda text: not CONTROL.search(text)) | st.sampled_from(HOSTILE)
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def inserted(raw: str, name: str) -> list[str]:
    """The word as it stands after a name was taken for what was typed: readline closes a quotation
    mark, unless the word ends with one."""
    typed = names.unquoted(raw)
    words = names.replacements([Name(name)], typed.text, typed, "", "")
    lines = [(raw[: typed.opened] if typed.quote else "") + word for word in words]
    return [line + ("" if line.endswith(typed.quote) else typed.quote) for line in lines]


@SLOW
@given(NAMES, st.data(), st.sampled_from(["", "'", '"']))
def test_what_is_inserted_means_the_name(
    meaning: Words, name: str, data: st.DataObject, quote: str
) -> None:
    """After any beginning, typed in any way."""
    cut = data.draw(st.integers(0, len(name)))
    raw = quote + names.escaped(name[:cut], quote)
    (word,) = inserted(raw, name)
    assert meaning(word) == name


@SLOW
@given(NAMES, NAMES, st.sampled_from(["", "'", '"']))
def test_what_two_names_share_can_be_gone_on_with(
    meaning: Words, one: str, other: str, quote: str
) -> None:
    """The shell types as much of the words as they share, which may end after a backslash."""
    first, second = (inserted(quote, name)[0] for name in (one, other))
    common = os.path.commonprefix([first, second])  # noqa: RUF071
    for name in (one, other):
        again = inserted(common, name)
        if again:
            assert meaning(again[0]) == name


@pytest.mark.parametrize(
    ("raw", "text", "quote"),
    [
        ("", "", ""),
        ("abc", "abc", ""),
        (r"a\ b", "a b", ""),
        ("a\\", "a", ""),
        ('"a\\', "a", '"'),
        ("'a\\", "a\\", "'"),
        ("'a b'c", "a bc", ""),
        ('"a"\'b', "ab", "'"),
        (r'"a\"b\n', r"a\n".replace("a", 'a"b'), '"'),
        ('a"b c', "ab c", '"'),
        ("'it'\\''s", "it's", "'"),
    ],
)
def test_what_a_word_means_so_far(raw: str, text: str, quote: str) -> None:
    typed = names.unquoted(raw)
    assert (typed.text, typed.quote) == (text, quote)


@pytest.mark.parametrize(
    ("option", "head", "value", "answer"),
    [
        ("", "", "127.0.0.1:16018", "127.0.0.1:16018"),
        ("", "127.0.0.1:", "127.0.0.1:16018", "16018"),
        ("--to=", "--to=", "127", "127.0.0.1:16018"),
        ("--to=", "--to=127.0.0.1:", "127.0.0.1:160", "16018"),
        ("--to=", "", "127.0.0.1:160", "--to=127.0.0.1:16018"),
        ("--to=", "", '"127.0.0.1:160', "127.0.0.1:16018"),
        ("", "", "'127.0.0.1:160", "127.0.0.1:16018"),
        ("", "", "1'27.0.0.1:160", "27.0.0.1:16018"),
        ("", "", "no", None),
    ],
)
def test_the_part_of_the_word_that_readline_replaces(
    complete: Completion, option: str, head: str, value: str, answer: str | None
) -> None:
    world = complete.world
    where = ["-c", '"sandbox"']
    names.main(["bash", "address", option, head, value, "1", "r'dir'", *where], world)
    lines = world.stdout.raw.getvalue().decode().splitlines()  # type: ignore[attr-defined]
    assert (lines[0] if lines else None) == answer


def test_zsh_is_told_what_names_mean(complete: Completion) -> None:
    world = complete.world
    names.main(["zsh", "volume", "", "", "", "0", "-c", "sandbox"], world)
    assert world.stdout.raw.getvalue() == b"rd0\t32.0 MiB\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["bash"],
        ["bash", "volume", "", "", "", "x"],
        ["bash", "nosuch", "", "", "", "0", "-c", "sandbox"],
        ["tcsh", "content", "", "", "", "0", "-c", "sandbox"],
        ["bash", "volume", "", "", "", "0", "-c", "nosuch"],
        ["bash", "volume", "", "", "", "0", "--local", "--rapiddisk-url", "http://h:1"],
    ],
)
def test_what_is_wrong_is_not_told(complete: Completion, argv: list[str]) -> None:
    world = complete.world
    names.main(argv, world)
    assert world.stdout.raw.getvalue() == b""  # type: ignore[attr-defined]
    assert world.stderr.raw.getvalue() == b""  # type: ignore[attr-defined]
