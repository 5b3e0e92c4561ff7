"""The house rules that reading the source can prove: floors, the one door, the streams."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Source(NamedTuple):
    """One module: its dotted name, its path from the root of the tree, and its syntax tree."""

    module: str
    path: str
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, text: str) -> Source:
        parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
        return cls(".".join(parts), path, ast.parse(text, path))

    def at(self, node: ast.AST) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


@pytest.fixture(scope="module")
def house() -> list[Source]:
    paths = sorted((ROOT / "rdctl").rglob("*.py"))
    return [Source.parse(str(path.relative_to(ROOT)), path.read_text("utf-8")) for path in paths]


def report(faults: list[str]) -> None:
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


# Floors ------------------------------------------------------------------------------------------

# From the roof down. A unit is a module or package right under rdctl.
FLOORS = (
    {"__main__"},
    {"cli", "completion", "api"},
    {"sites", "doctor", "metrics", "recording"},
    {"remote"},
    {"rapiddisk", "oio"},
    {"net", "workers", "output", "config", "history"},
    {"effects"},
    {"core"},
    {"rdctl"},  # the package itself, with its version
)
FLOOR = {unit: number for number, floor in enumerate(FLOORS) for unit in floor}
STRANGERS = {"rapiddisk", "oio"}
# The sandbox stands beside the house.
SANDBOX_IMPORTS = {"rdctl.core.errors", "rdctl.effects.syscalls"}
SANDBOX_IMPORTERS = ("rdctl.sites", "rdctl.cli.sandbox")


def unit_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: all but what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from running(other)
        else:
            yield node
            yield from running(node)


def imported(source: Source, modules: set[str]) -> Iterator[tuple[ast.AST, str]]:
    """The modules of this house that a module imports, anywhere in it, and where."""
    package = source.module.split(".")
    if not source.path.endswith("__init__.py"):
        package = package[:-1]
    for node in running(source.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            whole = [f"{origin}.{alias.name}" for alias in node.names]
            names = [name if name in modules else origin for name in whole]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
        yield from ((node, name) for name in names if re.match(r"rdctl\b", name))


def floor_fault(importer: str, name: str) -> str | None:
    """Why one module may not import another, None when it may."""
    unit, other = unit_of(importer), unit_of(name)
    if unit == other:
        return None
    if unit == "sandbox":
        return None if name in SANDBOX_IMPORTS else f"the sandbox must not know {name}"
    if other == "sandbox":
        return None if importer in SANDBOX_IMPORTERS else f"{importer} must not know the sandbox"
    if {unit, other} == STRANGERS:
        return f"{unit} and {other} must not know each other"
    if FLOOR[unit] > FLOOR[other]:
        return f"{importer} must not import {name}, which is a floor above it"
    return None


def floor_faults(sources: list[Source]) -> list[str]:
    modules = {source.module for source in sources}
    faults = []
    beside: dict[str, set[str]] = {}
    for source in sources:
        unit = unit_of(source.module)
        if unit not in FLOOR and unit != "sandbox":
            faults.append(f"{source.path}: {unit} is not in FLOORS of this test: give it a floor")
            continue
        for node, name in imported(source, modules):
            other = unit_of(name)
            if other not in FLOOR and other != "sandbox":
                continue  # said once, at that module itself
            if fault := floor_fault(source.module, name):
                faults.append(f"{source.at(node)}: {fault}")
            elif unit != other and FLOOR.get(unit) == FLOOR.get(other):
                beside.setdefault(unit, set()).add(other)
    try:
        graphlib.TopologicalSorter(beside).prepare()
    except graphlib.CycleError as error:
        faults.append("neighbours on a floor import in a circle: " + " -> ".join(error.args[1]))
    return faults


def test_imports_run_only_downwards(house: list[Source]) -> None:
    report(floor_faults(house))


FLOOR_SAMPLES = {
    "upwards": (
        {"rdctl/core/errors.py": "import rdctl.config"},
        "rdctl/core/errors.py:1: ",
    ),
    "in a function": (
        {"rdctl/config.py": "def f():\n    from rdctl import cli", "rdctl/cli/__init__.py": ""},
        "rdctl/config.py:2: rdctl.config must not import rdctl.cli",
    ),
    "relative": (
        {"rdctl/oio/client.py": "from ..cli.tree import x", "rdctl/cli/tree.py": ""},
        "must not import rdctl.cli.tree",
    ),
    "relative, from a package": (
        {"rdctl/oio/__init__.py": "from .. import cli", "rdctl/cli/__init__.py": ""},
        "must not import rdctl.cli",
    ),
    "by name": (
        {"rdctl/core/units.py": "from importlib import import_module\nimport_module('rdctl.cli')"},
        "rdctl/core/units.py:2: ",
    ),
    "not typing": (
        {"rdctl/core/a.py": "if TYPE_CHECKING:\n    import rdctl.cli\nelse:\n    import rdctl.oio"},
        "rdctl/core/a.py:4: rdctl.core.a must not import rdctl.oio",
    ),
    "strangers": ({"rdctl/oio/a.py": "import rdctl.rapiddisk.rest"}, "must not know each other"),
    "sandbox out": (
        {"rdctl/sandbox/a.py": "import rdctl.core.units"},
        "must not know rdctl.core.units",
    ),
    "sandbox in": ({"rdctl/cli/oio.py": "import rdctl.sandbox"}, "must not know the sandbox"),
    "homeless": ({"rdctl/extra/a.py": ""}, "rdctl/extra/a.py: extra is not in FLOORS"),
    "circle": (
        {"rdctl/net/a.py": "import rdctl.config", "rdctl/config.py": "import rdctl.net.a"},
        "in a circle: ",
    ),
}


@pytest.mark.parametrize(("files", "fault"), FLOOR_SAMPLES.values(), ids=FLOOR_SAMPLES)
def test_a_wrong_import_is_caught(files: dict[str, str], fault: str) -> None:
    (found,) = floor_faults([Source.parse(path, text) for path, text in files.items()])
    assert fault in found


def test_right_imports_pass() -> None:
    files = {
        "rdctl/__init__.py": "",
        "rdctl/__main__.py": "import rdctl.cli.run",
        "rdctl/cli/run.py": "from . import tree\nfrom rdctl import __version__, sites",
        "rdctl/cli/tree.py": "from .run import x\nimport rdctl.core.errors, os, requests",
        "rdctl/cli/sandbox.py": "from rdctl.sandbox import serve",
        "rdctl/sites.py": "import rdctl.sandbox.adapter, rdctl.oio, rdctl.rapiddisk",
        "rdctl/sandbox/adapter.py": "import rdctl.core.errors\nfrom . import store",
        "rdctl/core/units.py": "if TYPE_CHECKING:\n    from rdctl.cli import tree",
    }
    assert floor_faults([Source.parse(path, text) for path, text in files.items()]) == []


# Size and circles --------------------------------------------------------------------------------

MOST_LINES = 500
TABLES = {"rdctl/output/schemas.py"}


def test_no_file_is_too_long(house: list[Source]) -> None:
    lines = {
        source.path: (ROOT / source.path).read_text("utf-8").count("\n")
        for source in house
        if source.path not in TABLES
    }
    report([f"{path}: {count} lines" for path, count in lines.items() if count > MOST_LINES])


def circle(sources: list[Source]) -> list[str]:
    """Modules that import each other in a circle, at the top or within functions."""
    modules = {source.module for source in sources}
    imports: dict[str, set[str]] = {}
    for source in sources:
        for _, name in imported(source, modules):
            if name in modules and name != source.module:
                imports.setdefault(source.module, set()).add(name)
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def test_no_modules_import_in_a_circle(house: list[Source]) -> None:
    report(circle(house))


def test_a_circle_is_found() -> None:
    files = {
        "rdctl/net/a.py": "import rdctl.net.b",
        "rdctl/net/b.py": "def f():\n    from rdctl.net import a",
    }
    assert circle([Source.parse(path, text) for path, text in files.items()])


# The one door ------------------------------------------------------------------------------------

DOOR = "rdctl/effects/"
# What may change the outside beside the door, and in which way.
EXEMPT = {
    "rdctl/__main__.py": {"processes"},  # itself, in UTF-8
    "rdctl/completion/cache.py": {"files"},  # its cache of names
    # The sockets below the transport.
    "rdctl/net/plain.py": {"network"},
    "rdctl/net/requests_engine.py": {"network"},
    "rdctl/net/sockets.py": {"network"},
    "rdctl/sandbox/": {"files"},  # its database
}

# Known by their full names, called or passed on.
CHANGING = {
    "files": r"""
        os\.(write|pwrite|writev|pwritev|sendfile|splice|copy_file_range|f?truncate|posix_fallocate)
        os\.(mkdir|makedirs|mkfifo|mknod|rmdir|removedirs|remove|unlink|rename|renames|replace)
        os\.(link|symlink|[fl]?chmod|[fl]?chown|[fl]?chflags|utime|setxattr|removexattr)
        shutil\.(copy\w*|move|rmtree|chown|make_archive|unpack_archive)
        tempfile\.\w+
        sqlite3\.connect
    """,
    "processes": r"""
        subprocess\.\w+
        multiprocessing\.\w+
        pty\.(spawn|fork)
        os\.(system|popen|fork\w*|exec\w+|spawn\w+|posix_spawnp?|kill|killpg|reboot)
        asyncio\.create_subprocess_\w+
    """,
    "ioctl": r"""
        fcntl\.ioctl
        ctypes\.\w+
    """,
    "network": r"""
        requests\.(get|post|put|patch|delete|head|options|request)
        urllib\.request\.(urlopen|urlretrieve)
        urllib3\.(request|PoolManager|ProxyManager)
        http\.client\.HTTPS?Connection
        socket\.create_connection
        asyncio\.open_(unix_)?connection
    """,
}
CHANGING_NAMES = {
    kind: re.compile("|".join(patterns.split())) for kind, patterns in CHANGING.items()
}
WRITING_FLAG = re.compile(r"\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)\b")
READING_FLAGS = re.compile(
    r"(os\.)?O_(RDONLY|CLOEXEC|DIRECTORY|NOFOLLOW|EXCL|NONBLOCK|NOATIME|PATH|NOCTTY)"
    r"( \| (os\.)?O_\w+)*"
)

Names = dict[str, str]


def bindings(tree: ast.AST) -> Names:
    """What each imported name stands for: `from os import mkdir as md` gives md: os.mkdir."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.split(".")[0]
                names[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origin = "." * node.level + (node.module or "")
                names[alias.asname or alias.name] = f"{origin}.{alias.name}"
    return names


def full_name(node: ast.AST, names: Names) -> str | None:
    """The dotted name of an imported thing; None for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = full_name(node.value, names)
        return f"{owner}.{node.attr}" if owner else None
    return None


def named_change(node: ast.AST, names: Names) -> tuple[str, str] | None:
    """`os.mkdir`, called or passed on."""
    name = full_name(node, names)
    if name is None:
        return None
    for kind, pattern in CHANGING_NAMES.items():
        if pattern.fullmatch(name):
            return kind, name
    return None


def argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    for given in call.keywords:
        if given.arg == keyword:
            return given.value
    return call.args[position] if len(call.args) > position else None


def opening(call: ast.Call, names: Names) -> tuple[str, str] | None:
    """`open` in any of its forms, unless it is plainly for reading."""
    name = full_name(call.func, names)
    if name == "os.open":
        if call.args and ast.unparse(call.args[0]) in ("os.devnull", "'/dev/null'"):
            return None
        flags = argument(call, 1, "flags")
        text = ast.unparse(flags) if flags else ""
        reads = READING_FLAGS.fullmatch(text) and not WRITING_FLAG.search(text)
        return None if reads else ("files", f"os.open with {text}")
    if isinstance(call.func, ast.Name) and call.func.id == "open" and name is None:
        name = "open"
    if name in ("open", "io.open", "os.fdopen", "gzip.open", "bz2.open", "lzma.open"):
        mode = argument(call, 1, "mode")
    elif name is None and isinstance(call.func, ast.Attribute) and call.func.attr == "open":
        mode = argument(call, 0, "mode")
    else:
        return None
    if mode is None or (isinstance(mode, ast.Constant) and not set("wax+") & set(str(mode.value))):
        return None
    return "files", f"open with mode {ast.unparse(mode)}"


def method_change(call: ast.Call, names: Names) -> tuple[str, str] | None:
    """A method that changes the outside, of an object whose kind is told by the call alone.

    `super()` is passed: whoever called the method that it stands in was looked at. So is
    `write_bytes` of World's streams, told from a path's by what they are called.
    """
    if not isinstance(call.func, ast.Attribute) or full_name(call.func, names):
        return None
    method, owner = call.func.attr, ast.unparse(call.func.value)
    if owner == "super()":
        return None
    plain, keywords = len(call.args), {given.arg for given in call.keywords}
    is_path = {
        "write_text": True,
        "write_bytes": not re.search(r"(\bself|stdout|stderr|stream|\bout)$", owner),
        "mkdir": True,
        "symlink_to": True,
        "hardlink_to": True,
        "touch": plain == 0,
        "unlink": plain == 0,
        "rmdir": plain == 0,
        "chmod": plain == 1,
        "lchmod": plain == 1,
        "rename": plain == 1,
        "replace": plain == 1 and not keywords,
    }
    if is_path.get(method):
        return "files", f".{method}"
    if method in ("send", "sendall", "sendto", "sendmsg", "connect", "connect_ex", "urlopen"):
        return "network", f".{method}"
    acts = ("write", "mkdir", "rmdir", "symlink", "unlink", "ioctl", "run")
    if method in acts and owner.endswith("calls"):
        return "system calls", f".{method}"
    verbs = ("get", "post", "put", "patch", "delete", "head", "options", "request")
    if method in verbs and re.search(r"session(\(\))?$", owner, re.IGNORECASE):
        return "network", f"{owner}.{method}"
    return None


def changes(source: Source) -> Iterator[tuple[ast.AST, str, str]]:
    """Where a module changes the outside: the place, the kind, the name of the act."""
    names = bindings(source.tree)
    called = {id(node.func) for node in ast.walk(source.tree) if isinstance(node, ast.Call)}
    for node in ast.walk(source.tree):
        found = None
        if isinstance(node, ast.Call):
            found = opening(node, names) or method_change(node, names)
        elif isinstance(node, ast.Name | ast.Attribute):
            found = named_change(node, names)
            if isinstance(node, ast.Name) and node.id == "open" and id(node) not in called:
                found = "files", "open, passed on"
        if found:
            yield node, *found


def door_faults(source: Source) -> list[str]:
    if source.path.startswith(DOOR):
        return []
    allowed: set[str] = set()
    for path, kinds in EXEMPT.items():
        if source.path == path or (path.endswith("/") and source.path.startswith(path)):
            allowed |= kinds
    return [
        f"{source.at(node)}: {name} changes the outside ({kind}), which only {DOOR} may"
        for node, kind, name in changes(source)
        if kind not in allowed
    ]


def test_only_the_door_changes_the_outside(house: list[Source]) -> None:
    report([fault for source in house for fault in door_faults(source)])


CHANGES = [
    "open('f', 'w')",
    "open('f', mode='ab')",
    "open('f', 'r+')",
    "open('f', mode)",
    "import io; io.open('f', 'x')",
    "import os; os.fdopen(3, 'w')",
    "path.open('w')",
    "run(opener=open)",
    "import os; os.open('f', os.O_RDWR)",
    "import os; os.open('f', os.O_RDONLY | os.O_CREAT)",
    "import os; os.open('f', flags)",
    "from pathlib import Path; Path('f').write_text('')",
    "path.write_bytes(b'')",
    "path.mkdir(parents=True)",
    "path.touch()",
    "path.unlink(missing_ok=True)",
    "path.rmdir()",
    "path.rename(other)",
    "path.replace(other)",
    "path.chmod(0o600)",
    "path.symlink_to(other)",
    "path.hardlink_to(other)",
    *(
        f"import os; os.{name}(x)"
        for name in (
            "write pwrite mkdir makedirs mkfifo rmdir removedirs remove unlink rename renames "
            "replace symlink link chmod fchmod lchown chown truncate ftruncate utime setxattr"
        ).split()
    ),
    "import os as system; system.mkdir('d')",
    "from os import mkdir; mkdir('d')",
    "from os import path, mkdir as make; make('d')",
    "def f(act=os.unlink): ...\nimport os",
    "def f():\n    import os\n    undo(os.rmdir, 'd')",
    "import shutil; shutil.rmtree('d')",
    "import shutil; shutil.copyfile('a', 'b')",
    "from tempfile import TemporaryDirectory; TemporaryDirectory()",
    "import sqlite3; sqlite3.connect('f')",
    "import subprocess; subprocess.run(['true'])",
    "from subprocess import Popen; Popen(['true'])",
    "import os; os.system('true')",
    "import os; os.execvp('true', ['true'])",
    "import os; os.kill(1, 9)",
    "import fcntl; fcntl.ioctl(3, 4)",
    "def f(ioctl=fcntl.ioctl): ...\nimport fcntl",
    "import ctypes; ctypes.CDLL('libc.so.6')",
    "session.send(request)",
    "self._session.send(request)",
    "self.session.get('http://h/')",
    "requests.Session().post('http://h/')\nimport requests",
    "import requests; requests.get('http://h/')",
    "import requests as r; r.request('GET', 'http://h/')",
    "import urllib.request; urllib.request.urlopen('http://h/')",
    "from http.client import HTTPConnection; HTTPConnection('h')",
    "import socket; socket.create_connection(('h', 1))",
    "connection.connect(('h', 1))",
    "connection.sendall(b'')",
    "pool.urlopen('GET', '/')",
    "self._calls.ioctl(3, 4, 0)",
    "calls.write('f', 'x')",
    "calls.run(['true'])",
]


@pytest.mark.parametrize("text", CHANGES)
def test_a_change_beside_the_door_is_caught(text: str) -> None:
    faults = door_faults(Source.parse("rdctl/sites.py", text))
    assert len(faults) == 1, faults
    assert re.match(r"rdctl/sites\.py:\d+: .+ changes the outside \([\w ]+\)", faults[0])


READS = [
    "open('f')",
    "open('f', 'rb')",
    "open('f', encoding='utf-8')",
    "path.open()",
    "path.open('rb')",
    "path.read_text()",
    "import os; os.open('f', os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)",
    "import os; os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
    "import os; os.read(3, 4), os.stat('f'), os.listdir('d'), os.path.exists('f')",
    "import fcntl; fcntl.flock(3, fcntl.LOCK_EX)",
    "import shutil; shutil.get_terminal_size()",
    "'text'.replace('a', 'b')",
    "moment.replace(hour=0)",
    "from rdctl import effects; effects.do(effects.unlink('f'))",
    "site.oio.unlink(reference, kind)",
    "site.oio.touch(name)",
    "body.get('key')",
    "class A(HTTPAdapter):\n    def send(self, r):\n        return super().send(r)",
    "environment.stdout.write('text'), environment.stdout.write_bytes(b'')",
    "import requests; requests.Session(); requests.exceptions.ConnectionError",
]


@pytest.mark.parametrize("text", READS)
def test_what_changes_nothing_passes(text: str) -> None:
    assert door_faults(Source.parse("rdctl/sites.py", text)) == []


def test_exemptions_are_for_one_kind_of_change() -> None:
    text = "import os, subprocess\nos.mkdir('d')\nsubprocess.run(['true'])"
    assert door_faults(Source.parse(f"{DOOR}files.py", text)) == []
    for path in ("rdctl/completion/cache.py", "rdctl/sandbox/store.py"):
        (fault,) = door_faults(Source.parse(path, text))
        assert fault.startswith(f"{path}:3: subprocess.run")


# The streams -------------------------------------------------------------------------------------

STREAM_HOLDERS = ("rdctl/core/environment.py", "rdctl/__main__.py")
STREAM_NAMES = re.compile(
    r"sys\.(__)?(stdin|stdout|stderr)(__)?"
    r"|click\.(echo|secho|echo_via_pager|prompt|confirm|progressbar|pause|clear|edit|launch)"
    r"|rich\.(print|print_json|get_console)"
    r"|getpass\.getpass"
)


def stream_use(node: ast.AST, names: Names) -> str | None:
    """What a node takes from the process's streams: `print`, `sys.stdout`, `click.echo`."""
    name = full_name(node, names)
    if name and STREAM_NAMES.fullmatch(name):
        return name
    if isinstance(node, ast.Name) and node.id in ("print", "input") and name is None:
        return node.id
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Console"):
        given = [keyword.arg for keyword in node.keywords]
        return None if "file" in given else "Console without a file"
    return None


def stream_faults(source: Source) -> list[str]:
    if source.path in STREAM_HOLDERS:
        return []
    names = bindings(source.tree)
    uses = ((node, stream_use(node, names)) for node in ast.walk(source.tree))
    return [f"{source.at(node)}: {use}: the streams are World's" for node, use in uses if use]


def test_only_world_holds_the_streams(house: list[Source]) -> None:
    report([fault for source in house for fault in stream_faults(source)])


@pytest.mark.parametrize(
    "text",
    [
        "print('x')",
        "show = print",
        "print('x', file=stream)",
        "input()",
        "import sys; sys.stdout.write('x')",
        "import sys; sys.__stderr__.write('x')",
        "from sys import stderr; stderr.write('x')",
        "import sys as s; s.stdin.read()",
        "import click; click.echo('x')",
        "from click import confirm; confirm('x')",
        "from rich.console import Console; Console()",
    ],
)
def test_a_direct_stream_is_caught(text: str) -> None:
    (fault,) = stream_faults(Source.parse("rdctl/cli/run.py", text))
    assert fault.startswith("rdctl/cli/run.py:1: ")
    assert stream_faults(Source.parse("rdctl/core/environment.py", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "environment.stdout.write('x')",
        "import sys; sys.argv, sys.exit(0)",
        "from rich.console import Console; Console(file=stream)",
        "import click; click.Command('x'); click.style('x')",
    ],
)
def test_other_ways_to_speak_pass(text: str) -> None:
    assert stream_faults(Source.parse("rdctl/cli/run.py", text)) == []


# Erasing -----------------------------------------------------------------------------------------

# Who erases a volume, and why that may not ask for what a write-back cache has left in it: in the
# operations that is asked before; the other two are named.
ERASERS = {
    "rdctl.rapiddisk.changes._erase": "of flush and cache create, with what was agreed to",
    "rdctl.rapiddisk.contents.fill": "of load, with what was agreed to",
    "rdctl.rapiddisk.kernel.contents.erasing": "the undo of a load that was not completed",
    "rdctl.rapiddisk.state.caches._map": "of what an interrupted creation left of its own",
    "rdctl.rapiddisk.kernel.volumes.erase": "the single act",
    "rdctl.rapiddisk.kernel.caches.map": "the undo of a failed map that was no adoption",
    "rdctl.rapiddisk.kernel.caches._wipe": "after a removal that has written everything back",
}


def erasers(sources: list[Source]) -> set[str]:
    """The functions that speak of an `erase` of something else."""
    found = set()
    for source in sources:
        for function in ast.walk(source.tree):
            if isinstance(function, ast.FunctionDef):
                own = (node for part in function.body for node in _within(part))
                if any(isinstance(node, ast.Attribute) and node.attr == "erase" for node in own):
                    found.add(f"{source.module}.{function.name}")
    return found


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """What runs in a function itself, not in one that is defined there."""
    if not isinstance(node, ast.FunctionDef):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _within(child)


def test_every_eraser_is_known(house: list[Source]) -> None:
    assert erasers(house) == set(ERASERS)


def test_a_further_eraser_is_seen() -> None:
    text = "def a(backend):\n    def b():\n        backend.erase('rd0')\n    return b\n"
    assert erasers([Source.parse("rdctl/x.py", text)]) == {"rdctl.x.b"}
