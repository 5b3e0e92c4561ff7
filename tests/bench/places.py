"""What a run of the benchmarks needs around it: an installed rdctl, peers, and the machine told."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "rdctl", "man", "completions")
_LIBRARIES = ("click", "requests", "urllib3", "rich", "tabulate", "PyYAML", "jmespath")


def environment(home: Path) -> dict[str, str]:
    """Without what would change how Python starts; PYTHONDONTWRITEBYTECODE above all."""
    own = {"HOME": str(home), "TERM": "xterm", "COLUMNS": "80"}
    own["RDCTL_HISTORY"] = str(home / "history.ndjson")
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "RDCTL_", "XDG_", "OIO_")) and not key.endswith("_proxy")
    }
    return {**kept, **own}


def install(home: Path) -> Path:
    """This tree as a wheel in a virtual environment of its own; its directory of programs. The
    libraries are those of the environment that this runs in: nothing is fetched."""
    tree, wheels, env = home / "tree", home / "wheels", home / "env"
    for name in _SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tree / name, ignore=ignored)
        elif source.exists():
            tree.mkdir(exist_ok=True)
            shutil.copy(source, tree)
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, tree)
    _run(sys.executable, *build)
    (wheel,) = wheels.iterdir()
    _run(sys.executable, "-m", "venv", "--without-pip", env)
    python = env / "bin" / "python"
    into = ("-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    _run(sys.executable, *into)
    here = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", here], capture_output=True, text=True, check=True)
    libraries = Path(packages.stdout.strip()) / "libraries.pth"
    libraries.write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")


@contextmanager
def peer(*options: str) -> Iterator[str]:
    """The peer in a process of its own; its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.peer", *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
            process.communicate(timeout=10)
        finally:
            process.kill()


def machine() -> list[str]:
    """The machine and the versions, a line each."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return [
        f"{_processor()}, {os.cpu_count()} processors, {memory:.0f} GiB of memory",
        f"Linux {platform.release()}; Python {platform.python_version()}",
        libraries,
        *(_first_line(program, "--version") for program in ("curl", "jq", "openio")),
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return f"{command[0]}: not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return " ".join(done.stdout.splitlines()[0].split()[:2])
