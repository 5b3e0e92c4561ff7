"""What is measured: each section a function that gives its rows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.answers import BLOCK, K, M, data, entry_of, fragments
from tests.bench.meter import MB, Measured, Row, Section, seconds
from tests.bench.peer import LOG
from tests.bench.places import environment

BARE = Path(__file__).with_name("bare.py")
MIB = 1 << 20
# Each round puts what the one before it has put.
PUT = ("--autocreate", "--overwrite", "--yes")


class Bench(NamedTuple):
    """A run: how much is done, with what, where.

    `near` answers at once, `far` after 20 ms; `whole` puts an object of any size into one chunk,
    `hashing` too, and works out its MD5; `pieces` has chunks of 1 MiB, and so has `rawx`, which
    works out their MD5s. `ssh` is the directory of an ssh with a server behind it.
    """

    quick: bool
    programs: Path
    home: Path
    near: str
    far: str
    whole: str
    hashing: str
    pieces: str
    rawx: str
    ssh: str | None = None

    @property
    def python(self) -> str:
        return str(self.programs / "python")

    def rdctl(self, *words: str, url: str | None = None) -> list[str]:
        """A command of the installed program, with a peer for its proxy."""
        to = ("--oio-url", url or self.near, "--namespace", "OPENIO", "--account", "ACCT")
        return [str(self.programs / "rdctl"), *to, *words]

    def bare(self, *words: str) -> list[str]:
        return [self.python, str(BARE), *words]

    def few(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def names(self, count: int) -> str:
        """A file with names of containers."""
        path = self.home / f"names-{count}"
        path.write_text("".join(f"container-{number:06}\n" for number in range(count)))
        return str(path)

    def object(self, size: int) -> Path:
        """A file with the bytes that the peers hold."""
        path = self.home / f"object-{size}"
        if not path.exists():
            with path.open("wb") as file:
                for _ in range(size // len(BLOCK)):
                    file.write(BLOCK)
                file.write(data(size % len(BLOCK)))
        return path

    def directory(self, count: int, size: int) -> Path:
        """A directory of small objects."""
        path = self.home / f"directory-{count}"
        path.mkdir(exist_ok=True)
        for number in range(count):
            (path / f"object-{number:05}").write_bytes(data(size))
        return path

    def crowd(self, volumes: int, caches: int) -> None:
        """So many volumes and caches on the machine of the sandbox."""
        from rdctl.sandbox.machine.stored import StoredMachine
        from rdctl.sandbox.store import Store

        path = self.home / ".local" / "state" / "rdctl" / "sandbox.db"
        program = [str(self.programs / "rdctl"), "sandbox", "reset", "--yes"]
        subprocess.run(program, env=environment(self.home), check=True, capture_output=True)
        machine = StoredMachine(Store(str(path), lambda: None))
        with machine.session():
            for number in range(1, volumes):
                machine.add_volume(number, MIB)
            for number in range(1, 2 * caches, 2):
                machine.add_cache(f"rc-wt_rd{number + 1}", f"rd{number}", f"rd{number + 1}")


def lacking(program: str) -> str | None:
    return None if shutil.which(program) else f"not measured: no `{program}` here"


def shell(script: str) -> list[str]:
    return ["bash", "-c", "set -o pipefail; " + script]


def peers(bench: Bench) -> Section:
    """That the servers are quicker than what they serve."""
    count, pages = bench.few(2000, 500), bench.few(200, 50)
    show = "/v3.0/OPENIO/container/show?acct=ACCT&ref=docs"
    page = "/v3.0/OPENIO/container/list?acct=ACCT&ref=1000000&max=1000"
    base = f"bare loop, 1 thread, {count} names"
    rows = [
        Row(base, bench.bare("show", bench.near, "1"), work=count, stdin=bench.names(count)),
        Row(
            f"{count} times `container/show` over bare sockets",
            bench.bare("raw", bench.near + show, str(count)),
            work=count,
            against=base,
        ),
        Row(
            f"{pages} pages of 1000 objects over bare sockets",
            bench.bare("raw", bench.near + page, str(pages)),
            work=pages,
            against=base,
        ),
    ]
    text = (
        "Speed of the test server itself: sequential requests, each on a new connection, with the"
        " replies read and discarded, compared with the fastest client here. For the throughput of"
        " the server, see the rows of curl below."
    )
    return Section("The server itself", text, rows, bench.few(3, 1), unit="requests")


def start(bench: Bench) -> Section:
    """DESIGN's budgets."""
    python, url = bench.python, bench.near
    rdctl = (str(bench.programs / "rdctl"),)
    (bench.home / "nothing.py").touch()
    listing = ("rapiddisk", "list")
    remote = (*rdctl, "--rapiddisk-url", url, *listing)
    base = "`python3 -c pass`"

    def row(what: str, argv: Sequence[str], most: float | None = None) -> Row:
        return Row(what, argv, against=base, ratio=most)

    # As the script for bash asks for the volumes behind `rdctl rapiddisk show`.
    asked = ("__complete", "bash", "volume", "", "", "", "0")
    complete = (*rdctl, *asked, "--rapiddisk-url", url, "rapiddisk", "show")
    names = ".cache/rdctl/names-*"
    rows = [
        row(base, (python, "-c", "pass")),
        row("`python3 -m` of an empty module", (python, "-m", "nothing")),
        row("`python3 -m rdctl --version`", (python, "-m", "rdctl", "--version"), 1.1),
        row("`rdctl --version`", (*rdctl, "--version"), 1.7),
        row("`--help`", (*rdctl, "--help"), 5),
        row("`rapiddisk --help`", (*rdctl, "rapiddisk", "--help"), 5),
        row("`rapiddisk list --help`", (*rdctl, *listing, "--help"), 5),
        row("a local read: `context list`", (*rdctl, "context", "list"), 5.5),
        row("a remote read, json", (*remote, "--json"), 8),
        row("a remote read, plain table", remote, 8),
        row("a remote read, table on a terminal", remote, 10)._replace(terminal=True),
        row("completion of live names", complete, 14)._replace(fresh=names),
        row("completion of live names, again within 5 s", complete, 14),
    ]
    text = (
        "CPU time of whole processes, relative to `python3 -c pass` with the same interpreter."
        " rdctl is installed from its wheel and started through pip's wrapper script."
    )
    return Section("Start-up", text, rows, bench.few(21, 5), compares="cpu")


def remote_read(bench: Bench) -> Section:
    """One request, against what a shell would use."""
    volumes = f"{bench.near}/v1/listRapidDiskVolumes"
    container = f"{bench.near}/v3.0/OPENIO/container/show?acct=ACCT&ref=docs"
    curl = "`curl`"
    rows = [
        Row(curl, ("curl", "-sf", volumes), lacking=lacking("curl")),
        Row(
            "`curl \\| jq`",
            shell(f"curl -sf '{volumes}' | jq '.volumes[0].rapiddisk'"),
            against=curl,
            lacking=lacking("curl") or lacking("jq"),
        ),
        Row(
            "`rdctl rapiddisk list --json`",
            bench.rdctl("--rapiddisk-url", bench.near, "rapiddisk", "list", "--json"),
            against=curl,
        ),
        Row("`curl`, container/show", ("curl", "-sfi", container), against=curl),
        Row(
            "`rdctl oio container show`",
            bench.rdctl("oio", "container", "show", "docs", "--json"),
            against=curl,
        ),
    ]
    text = (
        "One request of a process of its own: what a script pays for each call of rdctl in place"
        " of curl. Nearly all of it is Python's start and the import of requests."
    )
    return Section("One remote read", text, rows, bench.few(21, 5))


def local_list(bench: Bench) -> Section:
    """The volumes of this machine, where it has the module."""
    here = Path("/sys/kernel/rapiddisk").exists()
    module = None if here else "not measured: the kernel module `rapiddisk` is not loaded here"
    theirs = "`rapiddisk -l` (C)"
    argv = [str(bench.programs / "rdctl"), "--local", "rapiddisk", "list"]
    rows = [
        Row(theirs, ("rapiddisk", "-l"), lacking=lacking("rapiddisk") or module),
        Row("`rdctl --local rapiddisk list`", argv, against=theirs, lacking=module),
        Row("`python3 -c pass`", (bench.python, "-c", "pass"), against=theirs, lacking=module),
    ]
    text = (
        "The volumes of this machine, read from the kernel, compared with RapidDisk's own"
        " program. Most of the difference is the start-up time of Python, click and rdctl. If the"
        " module is not loaded, `make bench-kernel` measures this in a virtual machine."
    )
    return Section("Local list", text, rows, bench.few(21, 5))


def monitoring(bench: Bench) -> Section:
    """What monitoring costs a machine with many volumes and caches."""
    count, cached = bench.few(1000, 200), bench.few(100, 20)
    bench.crowd(count, cached)
    program = (str(bench.programs / "rdctl"), "-c", "sandbox")
    listing, stats = "rapiddisk list", "rapiddisk cache stats"
    words = " ".join(program)
    base = "`rdctl rapiddisk list`, then `rdctl rapiddisk cache stats`"
    rows = [
        Row(f"`rdctl {listing}`", (*program, *listing.split())),
        Row(f"`rdctl {stats}`", (*program, *stats.split())),
        Row(base, shell(f"{words} {listing} && {words} {stats}")),
        Row("`rdctl metrics rapiddisk`", (*program, "metrics", "rapiddisk"), against=base, ratio=2),
        Row("`rdctl check rapiddisk`", (*program, "check", "rapiddisk"), against=base, ratio=2),
    ]
    text = (
        f"{count:,} volumes and {cached} caches on the simulated machine of the sandbox, whose own"
        " work is part of each row. The limit is twice the two listings together, in CPU time."
        " The metrics include the state of the units, of exports and of memory."
    )
    return Section("Monitoring", text, rows, bench.few(7, 3), compares="cpu")


# A page after the other, as a shell would do it.
_PAGES = """
url='{url}/v3.0/OPENIO/container/list?acct=ACCT&ref={count}&max=1000'
marker=
while :; do
    curl -sf -D head "$url$marker" | jq -c '.objects[]' || exit
    marker=$(sed -n 's/^x-oio-list-marker: \\(.*\\)\\r$/\\&marker=\\1/p' head)
    [ "$marker" ] || break
done
"""


def listings(bench: Bench) -> Section:
    """Many objects: time an object, memory, and when the first row comes."""
    many, some, few = bench.few(300_000, 50_000), bench.few(50_000, 10_000), 1000

    def rdctl(count: int, form: str) -> Row:
        words = ("oio", "container", "list", str(count), "-o", form)
        return Row(f"`rdctl ... -o {form}`, {count:,}", bench.rdctl(*words), work=count)

    bare = f"bare loop: requests, json, print; {some:,}"
    rows = [
        Row(bare, bench.bare("list", bench.near, str(some)), work=some),
        Row(
            f"`curl \\| jq -c`, page by page; {some:,}",
            shell(_PAGES.format(url=bench.near, count=some)),
            work=some,
            lacking=lacking("curl") or lacking("jq"),
        ),
        *(rdctl(few, form) for form in ("ndjson", "table")),
        *(rdctl(some, form) for form in ("ndjson", "json", "csv", "name", "table")),
        *(rdctl(many, form) for form in ("ndjson", "table")),
    ]

    def after(found: Mapping[str, Measured]) -> Sequence[str]:
        lines = []
        for form in ("ndjson", "table"):
            first = found[f"`rdctl ... -o {form}`, {few:,}"]
            last = found[f"`rdctl ... -o {form}`, {many:,}"]
            if first.fault or last.fault:
                lines.append(f"Memory ({form}): not measured **missed**")
                continue
            more = (last.median("memory") - first.median("memory")) / MB
            missed = "" if more <= 15 else " **missed**"
            lines.append(
                f"Memory ({form}): {many:,} objects take {more:+.1f} MB more than {few:,};"
                f" 15 MB are allowed{missed}"
            )
        return [*lines, _first_row(bench, many)]

    rows = [row if row.what == bare else row._replace(against=bare) for row in rows]
    text = (
        "`rdctl oio container list`, in pages of 1000 objects, with all data that the server"
        " reports for each (240 bytes of JSON). Ratios are of the time per object."
    )
    rounds = bench.few(3, 1)
    return Section("Listings", text, rows, rounds, unit="objects", warm=False, after=after)


def _first_row(bench: Bench, count: int) -> str:
    """Whether a row is out before the second page is asked for: on a listing that is left then."""
    requests(bench.near)
    words = ("oio", "container", "list", str(count), "-o", "ndjson")
    with subprocess.Popen(
        bench.rdctl(*words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = time.monotonic()
        process.stdout.read(4 * MIB)  # by then more pages were asked for
        process.kill()
    asked = [moment for moment, _, target in requests(bench.near) if "container/list" in target]
    if len(asked) < 2:
        return "First row: FAILED, no second page was asked for"
    missed = "" if seen < asked[1] else " **missed**"
    return (
        f"First row: read {seconds(seen - asked[0])} after the first page was asked for; the second"
        f" page was asked for after {seconds(asked[1] - asked[0])}{missed}"
    )


def requests(url: str) -> list[tuple[float, str, str]]:
    """When a peer got which requests since this was last asked."""
    with urllib.request.urlopen(url + LOG) as reply:
        return [(moment, method, target) for moment, method, target in json.load(reply)]


def bulk(bench: Bench) -> Section:
    """Containers from standard input."""
    count, few = bench.few(10_000, 2000), bench.few(20, 5)
    names, url = bench.names(count), bench.near
    bare = "bare loop, 8 threads, batches of 100"
    away = f"{bare}, 20 ms away"
    program = " ".join(bench.rdctl("oio", "container", "create"))
    single = f"`rdctl oio container create NAME`, one process per name ({few})"

    def create(parallel: int, url: str = url, where: str = "", against: str = bare) -> Row:
        words = ("oio", "container", "create", "-", "-o", "ndjson", "--parallel", str(parallel))
        return Row(
            f"`rdctl oio container create -`, `--parallel {parallel}`{where}",
            bench.rdctl(*words, url=url),
            work=count,
            stdin=names,
            against=against,
            ratio=1.11 if parallel == 8 else None,
        )

    rows = [
        Row(bare, bench.bare("create", url, "8"), work=count, stdin=names),
        Row(
            "bare loop, 1 thread",
            bench.bare("create", url, "1"),
            work=count,
            stdin=names,
            against=bare,
        ),
        create(1),
        create(8),
        Row(away, bench.bare("create", bench.far, "8"), work=count, stdin=names),
        create(8, bench.far, ", 20 ms away", away),
        Row(
            single,
            shell(f'while read -r name; do {program} "$name" || exit; done'),
            work=few,
            stdin=bench.names(few),
            against=bare,
        ),
    ]

    def after(found: Mapping[str, Measured]) -> Sequence[str]:
        return [_against_processes(found[single], found[create(8).what], 10)]

    text = (
        f"{count:,} containers, with names on standard input. The bare loop sends the same"
        " requests with the same library, without any checks. The limit is 1.11 times its time (90"
        " % of its rate). The test server creates 100 containers almost instantly. A real proxy"
        " took more than a second, which makes the overhead of either client negligible."
    )
    return Section(
        "Containers from standard input",
        text,
        rows,
        bench.few(5, 1),
        unit="names",
        after=after,
    )


def _against_processes(single: Measured, many: Measured, least: float) -> str:
    """How many times the rate of one process per name."""
    if single.fault or many.fault:
        return "Compared with one process per name: not measured **missed**"
    costs = [cost.median("wall") / cost.row.work for cost in (single, many)]
    times = costs[0] / costs[1]
    missed = "" if times >= least else " **missed**"
    rate = f"{times:.0f} times its rate (minimum: {least:g}){missed}"
    return f"Compared with one process per name: {rate}"


def shows(bench: Bench, url: str, title: str, count: int, moral: str) -> Section:
    """One request per name, so many at a time."""
    names, few = bench.names(count), bench.few(20, 5)
    base = "bare loop, 8 threads"

    def bare(threads: int) -> Row:
        what = "bare loop, 1 thread" if threads == 1 else f"bare loop, {threads} threads"
        return Row(what, bench.bare("show", url, str(threads)), work=count, stdin=names)

    def rdctl(parallel: int) -> Row:
        words = ("oio", "container", "show", "-", "-o", "ndjson", "--parallel", str(parallel))
        return Row(
            f"`rdctl oio container show -`, `--parallel {parallel}`",
            bench.rdctl(*words, url=url),
            work=count,
            stdin=names,
            against=base,
            ratio=1.11 if parallel == 8 else None,
        )

    program = " ".join(bench.rdctl("oio", "container", "show", url=url))
    single = f"`rdctl oio container show NAME`, one process per name ({few})"
    rows = [
        bare(1)._replace(against=base),
        bare(8),
        *(rdctl(parallel) for parallel in (1, 4, 8, 16, 32)),
        Row(
            single,
            shell(f'while read -r name; do {program} "$name" || exit; done'),
            work=few,
            stdin=bench.names(few),
            against=base,
        ),
    ]

    def after(found: Mapping[str, Measured]) -> Sequence[str]:
        return [_against_processes(found[single], found[rdctl(8).what], 10)]

    text = (
        f"`rdctl oio container show -` of {count:,} names, one request per name, each on a new"
        f" connection (an oio-proxy takes 44 ms per request on a kept-alive one). {moral}"
    )
    rounds = bench.few(3, 1)
    return Section(title, text, rows, rounds, unit="names", warm=False, after=after)


def near(bench: Bench) -> Section:
    moral = (
        "The server is local and fast: most of the time is spent in Python, one thread at a time."
    )
    return shows(bench, bench.near, "One request per name", bench.few(1000, 200), moral)


def far(bench: Bench) -> Section:
    moral = (
        "The server replies after 20 ms: most of the time is spent waiting. The default of"
        " `--parallel` is based on this: 8 removes most of the waiting; higher values increase the"
        " load on the server for little gain."
    )
    return shows(bench, bench.far, "One request per name, 20 ms away", bench.few(200, 50), moral)


def put_words(path: Path, *more: str) -> tuple[str, ...]:
    """`content put` of one file as `big` of the container `objects`."""
    where = ("oio", "content", "put", "objects", str(path), "--path", "big")
    return (*where, *PUT, *more)


def get_words(target: Path, *more: str) -> tuple[str, ...]:
    return ("oio", "content", "get", "objects", "big", "--to", str(target), *more)


def large(bench: Bench) -> Section:
    """One object of 1 GiB against curl to the same server."""
    size = bench.few(1 << 30, 128 * MIB)
    path, target = bench.object(size), bench.home / "got"
    chunk = f"{1:016X}{0:016X}{size:032X}"
    one = ("--parallel", "1")

    def curl_put(url: str) -> tuple[str, ...]:
        return ("curl", "-sf", "-H", "Expect:", "-T", str(path), f"{url}/{chunk}")

    def curl(what: str, argv: Sequence[str]) -> Row:
        return Row(what, argv, work=size / MB, fresh="got", lacking=lacking("curl"))

    def rdctl(what: str, words: Sequence[str], url: str, base: str, most: float | None) -> Row:
        return curl(f"`rdctl {what}", bench.rdctl(*words, url=url))._replace(
            against=base, ratio=most, megabytes=100, lacking=None
        )

    hashed, puts = "`curl -T`, server computes the MD5", "`curl -T`"
    gets, checked, summed = "`curl -o`", "`curl -o`, then `md5sum`", "`md5sum`"
    fetch = ("curl", "-sf", "-o", str(target), f"{bench.whole}/{chunk}")
    put_one, get_one = put_words(path, *one), get_words(target, *one)
    rows = [
        curl(hashed, curl_put(bench.hashing)),
        rdctl("put`, server computes the MD5", put_one, bench.hashing, hashed, 1.25),
        curl(puts, curl_put(bench.whole)),
        rdctl("put`", put_one, bench.whole, puts, None),
        rdctl("put`, chunks of 10 MiB", put_words(path), bench.near, puts, None),
        Row(summed, ("md5sum", str(path)), work=size / MB),
        curl(gets, fetch),
        curl(checked, shell(f"{' '.join(fetch)} && md5sum {target}"))._replace(against=gets),
        got := rdctl("get`", get_one, bench.whole, summed, 1.05),
        rdctl("get`, chunks of 10 MiB", get_words(target), bench.near, gets, None),
    ]

    def after(found: Mapping[str, Measured]) -> Sequence[str]:
        ours, theirs = found[got.what], found[checked]
        if ours.fault or theirs.fault:
            return []
        times = ours.median("wall") / theirs.median("wall")
        return [f"`rdctl get` takes {times:.2f} times what {checked} takes, which verifies as much"]

    text = (
        f"One object of {size // MIB} MiB, compared with curl and the same server, to and from"
        " memory (`/dev/shm`, if large enough): as one chunk on one stream, or in chunks of 10 MiB"
        " in parallel. rdctl computes and verifies the MD5 of all data; curl does not. The limit"
        " of put is 1.25 times curl's time (80 % of its throughput) with a server that computes the"
        " MD5 while it receives data, as a rawx does; the server of the other rows knows it in"
        " advance. The limit of get is 1.05 times what `md5sum` takes for a local file, as no"
        " verified download can be faster than that. 100 MB of memory are allowed."
    )
    return Section("Large objects", text, rows, bench.few(3, 1), unit="MB", after=after)


def chunked(bench: Bench) -> Section:
    """An object of many chunks, against the same requests of curl."""
    size = bench.few(256 * MIB, 64 * MIB)
    path, target = bench.object(size), bench.home / "got"
    chunks = [f"{1:016X}{number:016X}{MIB:032X}" for number in range(size // MIB)]
    # One connection: curl reads its requests from a file.
    config = bench.home / f"chunks-{len(chunks)}"
    config.write_text("".join(f'url = "{bench.pieces}/{chunk}"\n' for chunk in chunks))
    fetch = f"curl -sf -K {config} > {target}"
    base, verified = "`curl`, the same chunks", "`curl`, the same chunks, then `md5sum`"
    bare = "bare loop: requests, hashlib; the same chunks"

    def row(what: str, argv: Sequence[str], **more: Any) -> Row:
        return Row(what, argv, work=size / MB, fresh="got", **more)

    def rdctl(what: str, words: Sequence[str], against: str, most: float | None = None) -> Row:
        argv = bench.rdctl(*words, url=bench.pieces)
        return row(f"`rdctl {what}", argv, against=against, ratio=most, megabytes=100)

    rows = [
        rdctl("put`", put_words(path), verified),
        row("`md5sum`", ("md5sum", str(path))),
        row(base, shell(fetch), lacking=lacking("curl")),
        row(verified, shell(f"{fetch} && md5sum {target}"), lacking=lacking("curl")),
        row(
            bare,
            bench.bare("chunks", bench.pieces, str(len(chunks)), str(target)),
            against=verified,
        ),
        rdctl("get`", get_words(target), verified, 1.25),
        rdctl("get`, `--parallel 1`", get_words(target, "--parallel", "1"), verified),
        rdctl("get --to -`", ("oio", "content", "get", "objects", "big", "--to", "-"), verified),
    ]
    text = (
        f"One object of {size // MIB} MiB in chunks of 1 MiB, each a request of its own. curl gets"
        " them one after the other over one connection, without any check; `md5sum` then proves as"
        " much as rdctl, which compares the MD5 of each chunk. The bare loop does the same with the"
        " library that rdctl uses. The MD5s that `put` computes are those of the chunks and of the"
        " whole: two passes."
    )
    return Section("Objects of many chunks", text, rows, bench.few(5, 1), unit="MB")


def coded(bench: Bench) -> Section:
    """Erasure-coded objects, against the codec and curl."""
    size, huge = bench.few(256 * MIB, 60 * MIB), bench.few(512 * MIB, 120 * MIB)
    path, target = bench.object(size), bench.home / "got"
    each = K * MIB
    metachunks = [min(each, size - at) // MIB for at in range(0, size, each)]
    # All over one connection: curl reads its requests from files.
    ups, downs = bench.home / "fragments-up", bench.home / "fragments-down"
    up, down = [], []
    for number, segments in enumerate(metachunks):
        for index, fragment in enumerate(fragments()):
            source = bench.home / f"fragment-{index}-{segments}"
            if not source.exists():
                source.write_bytes(fragment * segments)
            id = f"{1:016X}{index + 1:08X}{number:08X}{segments * len(fragment):032X}"
            url = f'url = "{bench.pieces}/{id}"\n'
            up.append(f'{url}upload-file = "{source}"\nheader = "Expect:"\nfail\nsilent\n')
            down += [url] if index < K else []
    ups.write_text("next\n".join(up))
    downs.write_text("".join(down))
    encode = bench.bare("encode", str(path), str(K), str(M))
    send, fetch = f"curl -K {ups}", f"curl -sf -K {downs} > {target}"

    def against(what: str, script: str) -> Row:
        return Row(
            f"encoding, then `{what}`",
            shell(f"{' '.join(encode)} && {script}"),
            work=size / MB,
            fresh="got",
            lacking=lacking("curl"),
        )

    def rdctl(words: Sequence[str], count: int, base: str | None) -> Row:
        return Row(
            f"`rdctl {words[2]}`, {count // MIB} MiB",
            bench.rdctl(*words, url=bench.pieces),
            work=count / MB,
            fresh="got",
            against=base,
            ratio=1 if base else None,
            megabytes=120,
        )

    def put(count: int) -> tuple[str, ...]:
        what = ("oio", "content", "put", "coded", str(bench.object(count)))
        return (*what, "--path", str(count), "--policy", "EC", *PUT)

    def get(count: int) -> tuple[str, ...]:
        return ("oio", "content", "get", "coded", str(count), "--to", str(target))

    rows = [
        Row("encoding alone", encode, work=size / MB),
        sent := against("curl -T", send),
        rdctl(put(size), size, sent.what),
        Row("`curl -o` alone", shell(fetch), work=size / MB, lacking=lacking("curl")),
        got := against("curl -o", fetch),
        rdctl(get(size), size, got.what),
        rdctl(put(huge), huge, None),
        rdctl(get(huge), huge, None),
    ]
    text = (
        f"Objects of {size // MIB} and {huge // MIB} MiB with {K} data and {M} parity fragments for"
        f" each {K} MiB. The limit is the time of the codec alone, in a process of its own, and of"
        " curl, which transfers the fragments one after the other over one connection: all of them"
        " to the server, those of data from it. rdctl also computes the MD5s of the object, of each"
        " metachunk and of each fragment when it puts, and verifies the whole when it gets, which"
        " takes no arithmetic as long as all data fragments are there. With more than one"
        " processor, it encodes in a process of its own; CPU time includes that."
    )
    return Section("Erasure coding", text, rows, bench.few(3, 1), unit="MB", warm=False)


def small(bench: Bench) -> Section:
    """Many objects of 4 KiB: a directory up, a container down."""
    rows = []
    for count in (50, bench.few(500, 100)):
        directory, target = bench.directory(count, 4096), bench.home / f"down-{count}"
        target.mkdir(exist_ok=True)
        place = f"small{count}"
        for parallel in (1, 8):
            at = ("--parallel", str(parallel))
            put = ("oio", "content", "put", place, str(directory), "--recursive", *PUT)
            get = ("oio", "content", "get", place, "--recursive", "--to", str(target))
            rows += [
                Row(
                    f"`rdctl put --recursive`, {count}, `--parallel {parallel}`",
                    bench.rdctl(*put, *at),
                    work=count,
                    against=f"`rdctl put --recursive`, {count}, `--parallel 1`",
                ),
                Row(
                    f"`rdctl get --recursive`, {count}, `--parallel {parallel}`",
                    bench.rdctl(*get, "--overwrite", *at),
                    work=count,
                    against=f"`rdctl get --recursive`, {count}, `--parallel 1`",
                    fresh=f"{target.name}/**/object-*",
                ),
            ]
    text = (
        "Objects of 4 KiB, each with a `prepare`, a chunk and a `create` of its own on the way up,"
        " a `show` and a chunk on the way down."
    )
    return Section("Small objects", text, rows, bench.few(3, 1), unit="objects")


def repeated(bench: Bench) -> Section:
    """A transfer of what is there already, against the listing that it takes."""
    count = bench.few(10_000, 2000)
    directory = bench.home / f"unchanged-{count}"
    directory.mkdir(exist_ok=True)
    for number in range(count):
        entry = json.loads(entry_of(number))
        path = directory / entry["name"]
        path.touch()
        os.truncate(path, entry["size"])
        os.utime(path, (entry["mtime"], entry["mtime"]))
    listing = "`rdctl container list --properties`"
    rows = [
        Row(
            listing,
            bench.rdctl("oio", "container", "list", str(count), "--properties"),
            work=count,
        ),
        Row(
            "`rdctl content put --recursive --update`",
            bench.rdctl(
                *("oio", "content", "put", str(count), str(directory), "--recursive", "--update")
            ),
            work=count,
            against=listing,
            ratio=1.1,
        ),
        Row(
            "`rdctl content get --recursive --update`",
            bench.rdctl(
                *("oio", "content", "get", str(count), "--recursive", "--update"),
                *("--to", str(directory)),
            ),
            work=count,
            against=listing,
            ratio=1.1,
        ),
    ]
    text = (
        f"{count:,} files that are objects of the same names, sizes and times: nothing is"
        " transferred. The limit is 1.1 times the listing with properties."
    )
    return Section("Repeated transfers", text, rows, bench.few(5, 1), unit="objects")


def check(bench: Bench) -> Section:
    """Healthy objects of one chunk: requests and time an object, and memory."""
    few, many = 1000, bench.few(5000, 3000)

    def row(count: int, *more: str) -> Row:
        words = ("oio", "content", "check", str(count), *more)
        shown = " ".join(["content check", *more])
        return Row(f"`rdctl oio {shown}`, {count:,}", bench.rdctl(*words), work=count)

    rows = [row(few), row(many), row(few, "--deep"), row(many, "--deep")]

    def after(found: Mapping[str, Measured]) -> Sequence[str]:
        first, last = (found[row(count).what] for count in (few, many))
        more = (last.median("memory") - first.median("memory")) / MB
        missed = "" if more <= 15 else " **missed**"
        requests(bench.near)
        subprocess.run(
            bench.rdctl("oio", "content", "check", str(few)), check=True, capture_output=True
        )
        each = len(requests(bench.near)) / few
        too_many = "" if each <= 2.01 else " **missed**"
        return [
            f"Memory: {many:,} objects take {more:+.1f} MB more than {few:,};"
            f" 15 MB are allowed{missed}",
            f"Requests: {each:.3f} an object, the listing included; 2 are allowed{too_many}",
        ]

    text = (
        "`rdctl oio content check` of a container of healthy objects of 4 to 5 kB in one chunk"
        " each: a `show` and a `HEAD` for each, with `--deep` also a `GET`."
    )
    return Section("Checks", text, rows, bench.few(3, 1), unit="objects", warm=False, after=after)


def upstream(bench: Bench) -> Section:
    """OpenIO's own client in the same run; where it is not installed, what it was seen to take."""
    path, target = bench.object(256 * MIB), bench.home / "got"
    directory, url = bench.directory(50, 4096), bench.rawx
    missing = lacking("openio")
    openio = ("openio", "--oio-ns", "OPENIO", "--oio-account", "ACCT", "--oio-proxyd-url", url)
    hundred = Path(bench.names(100)).read_text().split()
    theirs, ec = ("object", "create"), ("--policy", "EC")
    # Both get what rdctl has put.
    save = ("object", "save", "--file", str(target))
    put_fifty = ("oio", "content", "put", "fifty", str(directory), "--recursive", *PUT)
    put_coded = ("oio", "content", "put", "coded", str(path), "--path", "big", *ec, *PUT)
    get_coded = ("oio", "content", "get", "coded", "big", "--to", str(target))

    def pair(
        what: str, other: Sequence[str], ours: Sequence[str], seen: float | None, **more: Any
    ) -> list[Row]:
        base = f"`openio`: {what}"
        return [
            Row(base, (*openio, *other), fresh="got", lacking=missing),
            Row(
                f"`rdctl`: {what}",
                bench.rdctl(*ours, url=url),
                against=None if missing else base,
                ratio=None if missing else 1,
                seconds=seen if missing else None,
                fresh="got",
                **more,
            ),
        ]

    create = ("oio", "container", "create", "-")
    files = sorted(map(str, directory.iterdir()))
    big = (str(path), "--name", "theirs")
    rows = [
        *pair("help", ("--help",), ("--help",), 0.12),
        *pair(
            "one container shown",
            ("container", "show", "docs"),
            ("oio", "container", "show", "docs"),
            0.23,
        ),
        *pair(
            "100 containers in one call",
            ("container", "create", *hundred),
            create,
            1.2,
            stdin=bench.names(100),
        ),
        *pair("50 objects of 4 KiB put", (*theirs, "fifty", *files), put_fifty, 0.6),
        *pair("256 MiB put, chunks of 1 MiB", (*theirs, "objects", *big), put_words(path), 2.1),
        *pair("256 MiB got, chunks of 1 MiB", (*save, "objects", "big"), get_words(target), 0.53),
        *pair("256 MiB put, EC 6+3", (*theirs, "coded", *big, *ec), put_coded, None),
        *pair("256 MiB got, EC 6+3", (*save, "coded", "big"), get_coded, None),
    ]
    text = (
        "The same operations of OpenIO's own client (`openio`) against the same server, which"
        " computes MD5s as a rawx does. The limit is its time. Where `openio` is not installed, the"
        " limit is what version 4.2 was seen to take on a similar machine, but with a real proxy"
        " and rawx: then **the servers differ**, and only orders of magnitude are comparable."
    )
    return Section("Compared with OpenIO's own client", text, rows, bench.few(3, 1))


def sections() -> Mapping[str, Callable[[Bench], Section]]:
    """All sections, by the words that choose them."""
    return {
        "peer": peers,
        "start": start,
        "read": remote_read,
        "local": local_list,
        "metrics": monitoring,
        "list": listings,
        "bulk": bulk,
        "show": near,
        "far": far,
        "large": large,
        "chunks": chunked,
        "ec": coded,
        "small": small,
        "repeat": repeated,
        "check": check,
        "upstream": upstream,
    }
