"""The collection as a whole: its documents, its archive, and a playbook that uses all of it."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from rdctl import __version__
from release import collection
from tests.ansible.conftest import COLLECTION, MODULES, NAMESPACE, ROOT

EPOCH = 1_700_000_000
SOURCES = sorted((COLLECTION / "plugins").rglob("*.py"))


def ansible(program: str, *words: str, **environ: str) -> str:
    """What a program of Ansible prints; it must succeed."""
    done = subprocess.run(
        [Path(sys.executable).parent / program, *words],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def documents(
    collections: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What ansible-doc reads of each module, with the shared options."""
    where = {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "HOME": str(tmp_path_factory.mktemp("home")),
    }
    names = [f"rdctl.storage.{name}" for name in MODULES]
    found = json.loads(ansible("ansible-doc", "--json", *names, **where))
    return {name.rpartition(".")[2]: value for name, value in found.items()}


def option(described: dict[str, Any]) -> dict[str, Any]:
    """What both sides say of an option."""
    keys = ("type", "elements", "required", "choices")
    found = {key: described[key] for key in keys if described.get(key)}
    if described.get("default") is not None:
        found["default"] = described["default"]
    return found


@pytest.mark.parametrize("name", MODULES)
def test_what_is_documented_is_accepted(
    collections: Path, documents: dict[str, dict[str, Any]], name: str
) -> None:
    module = importlib.import_module(f"{NAMESPACE}.{name}")
    documented = documents[name]["doc"]["options"]
    assert {key: option(value) for key, value in documented.items()} == {
        key: option(value) for key, value in module.SPEC.items()
    }
    assert all(value["description"] for value in documented.values())


@pytest.mark.parametrize("name", MODULES)
def test_examples_use_options_that_exist(documents: dict[str, dict[str, Any]], name: str) -> None:
    found = documents[name]
    tasks = yaml.safe_load(found["examples"])
    assert tasks
    for task in tasks:
        options = task[f"rdctl.storage.{name}"] or {}
        assert {*options} <= {*found["doc"]["options"]}
    assert {"code", "hint", "rc"} < {*found["return"]}
    assert "results" not in found["return"]  # Ansible takes it for that of a loop
    attributes = found["doc"]["attributes"]
    assert [attributes[key]["support"] for key in ("check_mode", "diff_mode")] == ["full", "full"]


@pytest.mark.parametrize("value", ["changes", "losses", "code", "hint"])
def test_return_values_are_described_alike(
    documents: dict[str, dict[str, Any]], value: str
) -> None:
    """ansible-core has no fragments for them, so that each module repeats them."""
    found = [one["return"][value] for one in documents.values() if value in one["return"]]
    assert len(found) >= 7
    assert {json.dumps({**one, "sample": None}, sort_keys=True) for one in found} == {
        json.dumps({**found[0], "sample": None}, sort_keys=True)
    }


def test_all_modules_have_the_defaults_of_the_group() -> None:
    runtime = yaml.safe_load((COLLECTION / "meta" / "runtime.yml").read_text("utf-8"))
    assert runtime["action_groups"]["all"] == MODULES
    readme = (COLLECTION / "README.md").read_text("utf-8")
    assert [name for name in MODULES if f"`rdctl.storage.{name}`" not in readme] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_each_file_names_its_license_and_never_imports_rdctl(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "SPDX-License-Identifier: Apache-2.0\n" in text[:300]
    assert "import rdctl" not in text
    assert "from rdctl" not in text
    assert max(map(len, text.splitlines())) <= 160  # of `ansible-test sanity`


def test_the_version_is_that_of_rdctl() -> None:
    about = collection.described(ROOT)
    assert about["version"] == collection.semantic(__version__)
    assert collection.semantic("1.0.0rc2") == "1.0.0-rc.2"
    assert collection.semantic("1.2.3") == "1.2.3"


def test_another_version_is_refused(tmp_path: Path) -> None:
    for name, text in {
        "rdctl/__init__.py": '__version__ = "1.2.0"\n',
        "packaging/ansible/galaxy.yml": "version: 1.1.0\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"galaxy.yml: version is not 1\.2\.0"):
        collection.make(tmp_path, tmp_path, EPOCH)


# Behind the playbooks of docs/ansible.md: what they have made.
AFTER = """
- hosts: all
  gather_facts: false
  module_defaults:
    group/rdctl.storage.all:
      context: sandbox
  tasks:
    - rdctl.storage.rapiddisk_volume: {name: rd3, size: 64M}
      register: again
    - rdctl.storage.rapiddisk_volume: {name: rd4, size: 64M}
      check_mode: true
      register: checked
    - rdctl.storage.rapiddisk_port: {port: "{{ item }}", transport: loop}
      loop: [11]
      check_mode: true
    - rdctl.storage.rapiddisk_volume: {name: rd3, state: absent, confirm_loss: true}
      register: refused
      ignore_errors: true
    - rdctl.storage.rdctl_info: {gather: [volumes, caches, exports, containers]}
      register: storage
    - ansible.builtin.assert:
        that:
          - again is not changed
          - checked is changed
          - refused is failed
          - refused.code == "in-use"
          - storage.info.volumes | map(attribute="device") | list == ["rd0", "rd3", "rd5"]
          - storage.info.caches | map(attribute="device") | list == ["rc-wt_sdb"]
          - storage.info.exports | length == 2
          - storage.info.containers | map(attribute="name") | list == ["docs", "photos"]
"""


def playbooks(document: Path) -> str:
    found = re.findall(r"^```yaml\n(.*?)^```$", document.read_text("utf-8"), re.M | re.S)
    assert len(found) == 2
    return "".join(found)


def test_the_archive_is_installed_and_used(home: Path) -> None:
    """What a release has: built twice the same, installed, verified, and run by a playbook."""
    first, second = home / "first", home / "second"
    for place in (first, second):
        place.mkdir()
    archive = collection.make(ROOT, first, EPOCH)
    assert archive.read_bytes() == collection.make(ROOT, second, EPOCH).read_bytes()
    with tarfile.open(archive) as opened:
        assert {member.mtime for member in opened} == {EPOCH}
        names = opened.getnames()
    assert {"MANIFEST.json", "FILES.json", "LICENSE", "README.md", "meta/runtime.yml"} < {*names}
    assert not [name for name in names if "__pycache__" in name or name == "galaxy.yml"]
    installed = {
        "ANSIBLE_COLLECTIONS_PATH": str(home / "collections"),
        # The default is below the home of the user's account, whatever HOME says.
        "ANSIBLE_REMOTE_TMP": str(home / "tmp"),
    }
    install = ("collection", "install", "--offline", "--pre", str(archive))
    ansible("ansible-galaxy", *install, **installed)
    there = home / "collections" / "ansible_collections" / "rdctl" / "storage"
    files = json.loads((there / "FILES.json").read_text("utf-8"))["files"]
    for file in files:
        if file["ftype"] == "file":
            data = (there / file["name"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file["chksum_sha256"]
    playbook = home / "playbook.yml"
    playbook.write_text(playbooks(ROOT / "docs" / "ansible.md") + AFTER)
    local = (
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    )
    printed = ansible("ansible-playbook", *local, "--diff", str(playbook), **installed)
    assert '+        "size": 67108864' in printed
    assert '+    "11": {' in printed  # of an item of a loop
    assert re.search(r"changed=9 .*failed=0 .*ignored=1", printed)
