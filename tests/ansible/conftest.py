"""The collection, installed as Ansible has it, and its modules, run against a sandbox."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from rdctl.sandbox import rapiddisk_app
from tests.fakes.served import serving

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "packaging" / "ansible"
MODULES = sorted(path.stem for path in (COLLECTION / "plugins" / "modules").glob("*.py"))
NAMESPACE = "ansible_collections.rdctl.storage.plugins.modules"

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of collections with this one."""
    place: Path = tmp_path_factory.mktemp("collections")
    (place / "ansible_collections" / "rdctl").mkdir(parents=True)
    (place / "ansible_collections" / "rdctl" / "storage").symlink_to(COLLECTION)
    sys.path.insert(0, str(place))
    yield place
    sys.path.remove(str(place))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with a sandbox of its own, who finds rdctl and Ansible."""
    for name in [name for name in os.environ if name.startswith(("RDCTL_", "OIO_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return tmp_path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a rapiddiskd."""
    with serving(rapiddisk_app(tmp_path / "served.db")) as (url,):
        yield url


@pytest.fixture
def run(home: Path, collections: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(module, **options)`: what the module returns, with a diff; in this process, as most of
    the time would go into starting Python."""
    basic: Any = importlib.import_module("ansible.module_utils.basic")

    def run(name: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        module = importlib.import_module(f"{NAMESPACE}.{name}")
        ways = {
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            "_ansible_tmpdir": str(home),
        }
        given = {"context": "sandbox", **options, **ways}
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", arguments)
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        written = io.StringIO()
        with redirect_stdout(written), pytest.raises(SystemExit):
            module.main()
        found: dict[str, Any] = json.loads(written.getvalue())
        return found

    return run
