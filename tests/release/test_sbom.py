"""The bill of materials names what runs rdctl, and nothing else."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from release import lock, sbom
from release.version import version_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bill() -> Any:
    return json.loads(sbom.document(ROOT, 1_700_000_000))


def test_every_library_with_its_digests(bill: Any) -> None:
    found = {item["name"]: item for item in bill["components"]}
    assert {"requests", "urllib3", "certifi", "idna", "charset-normalizer"} < found.keys()
    assert {"rich", "markdown-it-py", "mdurl", "pygments", "pyyaml", "jmespath"} < found.keys()
    assert not {"pytest", "mypy", "setuptools", "build", "pyeclib"} & found.keys()
    for pin in lock.runtime(ROOT):
        item = found[pin.name]
        assert item["purl"] == item["bom-ref"] == f"pkg:pypi/{pin.name}@{pin.version}"
        assert [digest["content"] for digest in item["hashes"]] == pin.hashes
        # Known of the locked release only, which another environment may not have.
        assert bool(item.get("licenses")) == (installed(pin.name) == pin.version), pin.name


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def test_what_requires_what(bill: Any) -> None:
    refs = {item["bom-ref"].partition("@")[0]: item["bom-ref"] for item in bill["components"]}
    needed = {entry["ref"]: set(entry["dependsOn"]) for entry in bill["dependencies"]}
    own = f"pkg:pypi/rdctl@{version_of(ROOT)}"
    assert needed.keys() == {own, *refs.values()}
    assert refs["pkg:pypi/click"] in needed[own]
    assert refs["pkg:pypi/certifi"] not in needed[own]
    assert refs["pkg:pypi/certifi"] in needed[refs["pkg:pypi/requests"]]
    assert set().union(*needed.values()) == set(refs.values())


def test_it_is_the_same_each_time_and_another_for_another_tree(tmp_path: Path, bill: Any) -> None:
    assert json.loads(sbom.document(ROOT, 1_700_000_000)) == bill
    for name in ("setup.cfg", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "rdctl").mkdir()
    (tmp_path / "rdctl" / "__init__.py").write_text('__version__ = "9.9.9"\n')
    other = json.loads(sbom.document(tmp_path, 1_700_000_000))
    assert other["metadata"]["component"]["version"] == "9.9.9"
    assert other["serialNumber"] != bill["serialNumber"]


def test_a_library_that_is_not_locked(tmp_path: Path) -> None:
    shutil.copy(ROOT / "requirements-dev.lock", tmp_path)
    (tmp_path / "setup.cfg").write_text("[options]\ninstall_requires =\n    unheard-of>=1\n")
    with pytest.raises(ValueError, match=r"not in the lock file \(run make lock\): unheard-of"):
        lock.runtime(tmp_path)
