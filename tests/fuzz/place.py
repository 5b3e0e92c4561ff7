"""Where a group of runs happens: a home, a sandbox, a simulated machine, servers."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from rdctl.cli.run import run
from rdctl.core.environment import Environment, Messages, Stream
from rdctl.sandbox import OIO_HOST, RAPIDDISK_HOST
from tests.conftest import Ran
from tests.fakes.kernel import MIB, PAGE, FakeKernel
from tests.fuzz.lines import Line
from tests.fuzz.server import Servers

LOOKS = 3  # pictures of a --watch before Ctrl-C

# What may be lost: its name, and what it is beside that.
_LOSABLE = {
    # A cache writes over what its volume held.
    "volume": "SELECT 'rd' || key, value ->> 'size', (value ->> 'high') * (('rd' || key) NOT IN"
    " (SELECT value ->> '$.slaves[1]' FROM machine, json_each(objects, '$.maps')))"
    " FROM machine, json_each(objects, '$.volumes')",
    "cache": "SELECT key, value ->> '$.slaves' FROM machine, json_each(objects, '$.maps')",
    "container": "SELECT cid, 0 FROM oio_bases",
    "object": "SELECT hex(name) || ' ' || version || cid, content FROM oio_aliases",
}

Kept = dict[tuple[str, str], Any]


class Place:
    def __init__(self, servers: Servers, seed: bytes) -> None:
        self._directory = tempfile.TemporaryDirectory(
            prefix="rdctl-fuzz-", ignore_cleanup_errors=True
        )
        self.home = Path(self._directory.name)
        # Deep, so that a few `..` stay within.
        self.work = self.home / "a/b/c/d/e/work"
        self.work.mkdir(parents=True)
        self.sandbox = self.home / "sandbox.db"
        self.sandbox.write_bytes(seed)
        self.config = self.home / "config.toml"
        self.urls = servers.url(RAPIDDISK_HOST), servers.url(OIO_HOST)
        self._lay_out()
        servers.serve(str(self.sandbox))
        self.kernel = FakeKernel(self.home / "root")
        for number in (0, 1, 2):
            self.kernel.add_volume(number)
        self.kernel.write_data("rd1", b"x" * PAGE)
        self.kernel.map_cache("rc-wb_vdb", "rd2", "vdb", dirty=7)
        self.kernel.add_port(1)

    def _lay_out(self) -> None:
        rapiddisk, oio = self.urls
        self.config.write_text(
            f'current = "lab"\n[contexts.lab]\nrapiddisk = "{rapiddisk}"\noio = "{oio}"\n'
            'namespace = "OPENIO"\naccount = "sandbox"\nprotected = true\n'
            '[contexts.here]\nrapiddisk = "local"\n'
        )
        (self.work / "tree/inner").mkdir(parents=True)
        for name in ("a file", "tree/one", "tree/inner/two"):
            (self.work / name).write_bytes(b"data of it")
        (self.work / "body.json").write_text('{"properties": {"color": "blue"}}')
        (self.work / "names").write_text("photos\nrd1\n\nno such\n")

    def run(self, line: Line) -> Ran:
        out, err = BytesIO(), BytesIO()
        os.chdir(self.work)
        looks = 0

        def sleep(seconds: float) -> None:
            nonlocal looks
            looks += 1
            if looks > LOOKS and "--watch" in " ".join(line.argv):
                raise KeyboardInterrupt

        environment = Environment(
            stdin=BytesIO(line.stdin),
            stdout=Stream(out, tty=line.tty),
            stderr=Messages(err, tty=line.tty),
            environ={
                "HOME": str(self.home),
                "RDCTL_CONFIG": str(self.config),
                "RDCTL_SANDBOX": str(self.sandbox),
                "RDCTL_DEBUG": "1",
                "TERM": "xterm",
                **line.env,
            },
            stdin_tty=line.tty,
            width=line.width,
            root=str(self.home / "root"),
            calls=self.kernel,
            clock=time.monotonic,
            sleep=sleep,
        )
        return Ran(run(line.argv, environment), out.getvalue(), err.getvalue())

    def kept(self) -> Kept:
        """What could be lost, and what it holds."""
        kept: Kept = {}
        with closing(sqlite3.connect(self.sandbox)) as store:
            for kind, question in _LOSABLE.items():
                kept |= {(kind, str(row[0])): row[1:] for row in store.execute(question)}
        for number, volume in self.kernel.volumes.items():
            kept["local volume", f"rd{number}"] = volume.size, dict(volume.blocks)
        for name, mapping in self.kernel.maps.items():
            kept["local mapping", name] = mapping.numbers
        return kept

    def whole(self) -> list[str]:
        """All that there is in the sandbox and on the machine."""
        with closing(sqlite3.connect(self.sandbox)) as store:
            dump = list(store.iterdump())
        return [*dump, *map(repr, sorted(self.kept().items(), key=repr))]

    def end(self) -> None:
        os.chdir("/")
        self.kernel.close_all()
        self._directory.cleanup()


def seeded() -> bytes:
    """A new sandbox's file, to be copied."""
    from rdctl.sandbox.machine.stored import StoredMachine
    from rdctl.sandbox.store import Store

    directory = tempfile.mkdtemp()
    try:
        path = f"{directory}/sandbox.db"
        store = Store(path)
        machine = StoredMachine(store)
        with machine.session():
            machine.volumes[0].high = machine.volumes[0].used = 2 * MIB
            machine.show_volumes()
        store.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path(path).read_bytes()
    finally:
        shutil.rmtree(directory)
