"""What rdctl costs, measured: a table in Markdown for each kind of work.

python -m tests.bench [--quick] [--write] [SECTION...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.meter import Meter, Section, measure, table
from tests.bench.over_ssh import machines, over_ssh
from tests.bench.places import ROOT, environment, install, machine, peer
from tests.bench.sections import Bench
from tests.bench.sections import sections as others

REPORT = ROOT / "docs" / "benchmarks.md"
# In memory, so that no disk is measured, where there is room for two objects of 1 GiB.
SHM, ROOM = Path("/dev/shm"), 3 << 30
CHUNK, WHOLE = 10 << 20, 1 << 40

HEAD = """\
# Benchmarks

Measured {date} by `make bench` ({duration}). To repeat some sections, or all of them in less time:
`.venv/bin/python -m tests.bench [--quick] [SECTION...]`; `--write` writes this file.

{machine}

Each section is one run, and its rows are measured in turn, round after round, so that a slow phase
of the machine affects them alike. CPU time (user and system) and wall time are medians of whole
processes. Memory is the median of their peaks. Pipes and shell loops include all their processes;
their memory is that of the largest. Memory below 10 MB cannot be measured. Ratios are medians of
the ratios of each round.

The servers are one small program, `tests/bench/peer.py`, which implements the necessary parts of an
oio-proxy 4.2, a rawx and a rapiddiskd. It stores nothing and computes next to nothing, so it is
faster than its clients, and the client is what is measured. Everything runs on one machine, over
127.0.0.1.
"""


def sections() -> dict[str, Callable[[Bench], Section]]:
    return {**others(), "ssh": over_ssh}


@contextmanager
def prepared(quick: bool) -> Iterator[Bench]:
    """Peers, an installed rdctl, and a place for files."""
    spacious = SHM.is_dir() and shutil.disk_usage(SHM).free > ROOM
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(dir=SHM if spacious else None))
        home = Path(name)

        def served(chunk: int, *more: str) -> str:
            return stack.enter_context(peer("--chunk", str(chunk), *more))

        bench = Bench(
            quick,
            install(home),
            home,
            near=served(CHUNK),
            far=served(CHUNK, "--latency", "20"),
            whole=served(WHOLE),
            hashing=served(WHOLE, "--hash"),
            pieces=served(1 << 20),
            rawx=served(1 << 20, "--hash"),
        )
        yield stack.enter_context(machines(bench))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="less of all, in about a minute")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md as well")
    parser.add_argument("section", nargs="*", help="only these: " + ", ".join(sections()))
    asked = parser.parse_args()
    if unknown := set(asked.section) - set(sections()):
        parser.error(f"no such section: {', '.join(unknown)}")
    if asked.write and (asked.quick or asked.section):
        parser.error("--write takes a whole run")
    started = time.monotonic()
    tables = []
    with prepared(asked.quick) as bench:
        meter = Meter(bench.home, environment(bench.home))
        try:
            for name, section in sections().items():
                if not asked.section or name in asked.section:
                    made = section(bench)
                    tables.append(table(made, measure(made, meter)))
                    print(tables[-1], flush=True)
        finally:
            meter.close()
    head = HEAD.format(
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        duration=f"{(time.monotonic() - started) / 60:.0f} minutes",
        machine="\n".join(f"- {line}" for line in machine()),
    )
    print(head)
    if asked.write:
        REPORT.write_text("\n".join([head, *tables]))
    failed = sum(text.count("FAILED") for text in tables)
    missed = sum(text.count("**missed**") for text in tables)
    print(f"{failed} rows failed, {missed} miss what is allowed.")
    raise SystemExit(os.EX_SOFTWARE if failed else 0)


if __name__ == "__main__":
    main()
