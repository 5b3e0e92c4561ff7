"""make fuzz: random command lines, and replies that are spoiled on their way.

python -m tests.fuzz [--seed N] [--lines N] [--replies N] [--jobs N]
python -m tests.fuzz --seed N --only lines:GROUP        one group again, each of its lines shown

A group is some runs in one place, one after the other, from a seed of its own.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from typing import Any, NamedTuple

from rdctl.core.errors import Exit
from tests.conftest import Ran
from tests.fuzz import fence
from tests.fuzz.judge import faults
from tests.fuzz.lines import Line, line, sound
from tests.fuzz.place import Place, seeded
from tests.fuzz.replies import spoiled
from tests.fuzz.server import Servers

GROUP = 25  # runs in one place
SECONDS = 30  # that a run may take
SHOWN = 40  # faults that are told


class Found(NamedTuple):
    group: str
    line: str
    fault: str
    said: str


class Told(NamedTuple):
    """What became of a group."""

    runs: int
    replies: int
    found: list[Found]
    codes: dict[int, int]


class Hang(BaseException):
    """A run that does not end."""


def _hang(number: int, frame: Any) -> None:
    raise Hang("".join(traceback.format_stack(frame)[-6:]))


class Worker:
    def __init__(self, seed: int, directory: str) -> None:
        self._seed = seed
        self._fresh = seeded()
        self._servers = Servers()
        self._stray: list[str] = []
        threading.excepthook = lambda what: self._stray.append(repr(what.exc_value))
        sys.unraisablehook = lambda what: self._stray.append(f"unraisable {what.exc_value!r}")
        signal.signal(signal.SIGALRM, _hang)
        fence.put_up(directory)

    def group(self, name: str, *, show: bool = False) -> Told:
        kind = name.partition(":")[0]
        rng = random.Random(f"{self._seed}/{name}")
        place = Place(self._servers, self._fresh)
        spoils = _Spoiler(random.Random(f"{self._seed}/{name}/replies"), on=kind == "replies")
        self._servers.spoil = spoils
        found: list[Found] = []
        codes: dict[int, int] = {}
        try:
            before, whole = place.kept(), place.whole()
            for _ in range(GROUP):
                made = self._line(kind, rng, place)
                if show:
                    print(made, flush=True)
                ran, fault = self._run(place, made)
                codes[ran.code] = codes.get(ran.code, 0) + 1
                after = place.kept()
                wrong = [fault] if fault else list(faults(made, ran, before, after))
                wrong += [f"in a thread: {stray}" for stray in self._stray]
                self._stray.clear()
                if "--dry-run" in made.argv[:1] and place.whole() != whole:
                    wrong.append("a dry run changed something")
                if show:
                    print(f"  exit {ran.code}\n{ran.out[:2000]}{ran.err[:2000]}", flush=True)
                said = f"exit {ran.code}: {ran.err[-600:]!r} {ran.out[:300]!r}"
                found += [Found(name, str(made), word, said) for word in wrong]
                before, whole = after, place.whole()
        finally:
            place.end()
        return Told(GROUP, spoils.count, found, codes)

    def _line(self, kind: str, rng: random.Random, place: Place) -> Line:
        rapiddisk, oio = place.urls
        far = ["--rapiddisk-url", rapiddisk, "--oio-url", oio, "--namespace", "OPENIO"]
        far += ["--account", "sandbox", "--retries", "1"]
        if kind == "replies":
            return sound(rng, [*far, "--timeout", "4"])
        made = line(
            rng, [["-c", "sandbox"], ["-c", "sandbox"], ["--local"], ["-c", "here"], far, []]
        )
        if rng.random() < 0.05:
            return made._replace(argv=["--dry-run", *made.argv])
        return made

    def _run(self, place: Place, made: Line) -> tuple[Ran, str]:
        signal.alarm(SECONDS)
        faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
        try:
            return place.run(made), ""
        except Hang as hang:
            return Ran(-1, b"", b""), f"no end after {SECONDS} s: {hang}"
        except BaseException:
            return Ran(-1, b"", b""), f"a internal error: {traceback.format_exc()[-1500:]}"
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()


class _Spoiler:
    """Spoils most replies, and counts them."""

    def __init__(self, rng: random.Random, *, on: bool) -> None:
        self.count = 0
        self._rng = rng
        self._on = on
        self._lock = threading.Lock()

    def __call__(self, reply: bytes) -> bytes:
        with self._lock:
            if not self._on or self._rng.random() < 0.4:
                return reply
            self.count += 1
            return spoiled(self._rng, reply)


# The one of this process.
_worker: list[Worker] = []


def _begin(seed: int, directory: str) -> None:
    tempfile.tempdir = directory
    os.environ["TMPDIR"] = directory
    _worker[:] = [Worker(seed, directory)]


def _group(name: str, show: bool = False) -> Told:
    return _worker[0].group(name, show=show)


def fuzz(seed: int, lines: int, replies: int, jobs: int, directory: str) -> list[Found]:
    found: list[Found] = []
    codes: dict[int, int] = {}
    runs = spoiled_replies = 0
    began = time.monotonic()
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs, _begin, (seed, directory)) as pool:

        def take(told: Told) -> None:
            nonlocal runs
            runs += told.runs
            for one in told.found[: max(0, SHOWN - len(found))]:
                print(f"\n{one.group}\n  {one.line}\n  {one.fault}\n  {one.said}", flush=True)
            found.extend(told.found)
            for code, count in told.codes.items():
                codes[code] = codes.get(code, 0) + count

        names = [f"lines:{number}" for number in range(-(-lines // GROUP))]
        for told in pool.imap_unordered(_group, names, 4):
            take(told)
        first = 0
        while spoiled_replies < replies:
            names = [f"replies:{first + n}" for n in range(8 * jobs)]
            first += len(names)
            for told in pool.imap_unordered(_group, names):
                take(told)
                spoiled_replies += told.replies
    words = ", ".join(
        f"{Exit(code).name.lower() if code in set(Exit) else code} {count}"
        for code, count in sorted(codes.items())
    )
    print(
        f"seed {seed}: {runs} runs, {spoiled_replies} spoiled replies,"
        f" {time.monotonic() - began:.0f} s; {words}; {len(found)} faults"
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--replies", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", metavar="GROUP")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="rdctl-fuzz-", ignore_cleanup_errors=True) as directory:
        if options.only:
            with multiprocessing.get_context("fork").Pool(
                1, _begin, (options.seed, directory)
            ) as pool:
                found = pool.apply(_group, (options.only, True)).found
            for one in found:
                print(f"\n{one.line}\n  {one.fault}\n  {one.said}")
        else:
            found = fuzz(options.seed, options.lines, options.replies, options.jobs, directory)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
