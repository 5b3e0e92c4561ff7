"""rdctl in a zip: what it starts, and what it leaves behind. The whole file, with its libraries, is
made and tried by `make test-pyz`."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from rdctl import __version__
from release import pyz

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the zip is made of, but for the libraries."""
    place = tmp_path_factory.mktemp("tree")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rdctl", place / "rdctl", ignore=ignored)
    pyz.compile_all(place, sys.executable)
    return place


@pytest.fixture(scope="module")
def zipped(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("zip") / "rdctl.pyz"
    pyz.write(tree, file)
    return file


class Zipped:
    """The program in the zip, in a home of its own. The libraries are those of this environment,
    under another name: rdctl.pyz leaves site-packages out of its path."""

    def __init__(self, file: Path, home: Path) -> None:
        self.file, self.home = file, home
        (home / "libraries").symlink_to(sysconfig.get_path("purelib"))
        self.environ = {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(home / "libraries"),
        }

    def __call__(self, *words: str, program: tuple[str, ...] = ()) -> str:
        done = subprocess.run(
            [*(program or (str(self.file),)), *words],
            cwd=self.home,
            env=self.environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def rdctl(zipped: Path, tmp_path: Path) -> Zipped:
    return Zipped(zipped, tmp_path)


def test_it_is_a_program(rdctl: Zipped) -> None:
    assert rdctl("--version") == f"rdctl {__version__}\n"
    assert os.access(rdctl.file, os.X_OK)


def test_modules_are_imported_from_the_bytecode_of_this_python(rdctl: Zipped) -> None:
    tag = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    main = zipfile.ZipFile(rdctl.file).read("__main__.py").decode().partition("from rdctl")[0]
    script = (
        f"import sys; sys.path.insert(0, {str(rdctl.file)!r})\n{main}\n"
        "import rdctl.cli; print(rdctl.cli.__file__)"
    )
    shown = rdctl(program=(sys.executable, "-c", script))
    assert shown == f"{rdctl.file}/{tag}/rdctl/cli/__init__.pyc\n"


def test_a_python_without_bytecode_runs_the_sources(
    tree: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sources = tmp_path_factory.mktemp("sources")
    shutil.copytree(tree / "rdctl", sources / "rdctl")
    file = tmp_path / "rdctl.pyz"
    pyz.write(sources, file)
    assert "rd0" in Zipped(file, tmp_path)("-c", "sandbox", "rapiddisk", "list", "-o", "name")


def test_units_run_python_with_the_zip_also_if_it_is_not_executable(
    rdctl: Zipped, tmp_path: Path
) -> None:
    """The reboot of the sandbox runs them: the volume is there only if they ran."""
    shutil.copyfile(rdctl.file, tmp_path / "other-name.pyz")
    program = (sys.executable, "other-name.pyz")
    sandbox = ("-c", "sandbox", "rapiddisk")
    rdctl(*sandbox, "create", "32M", program=program)
    rdctl(*sandbox, "dump", "--save", program=program)
    rdctl(*sandbox, "boot", "enable", "--now", program=program)
    rdctl("sandbox", "reboot", "--yes", program=program)
    assert rdctl(*sandbox, "list", "-o", "name", program=program).split() == ["rd0", "rd1"]


def test_the_helper_process_computes(rdctl: Zipped) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from rdctl.oio.objects.coding import BIG, Coding, Scheme\n"
        "import os; os.sched_getaffinity = lambda pid: {0, 1}\n"
        "coding = Coding(Scheme(3, 2), BIG, 1)\n"
        "assert coding._helper is not None\n"
        "with coding.lane() as lane:\n"
        "    for place in lane.next(8): place[:] = bytes([5]) * len(place)\n"
        "    lane.begin()\n"
        "    lane.end(lambda: print(coding._helper._process.poll()))\n"
        "    print(lane.stripe.fragment(2)[-4:].hex())\n"
        "coding.close()\n"
    )
    expected = rdctl(program=(sys.executable, "-c", script, str(ROOT)))
    assert rdctl(program=(sys.executable, "-c", script, str(rdctl.file))) == expected


def test_documents_are_shown(rdctl: Zipped) -> None:
    assert rdctl("help", "concepts", "election").startswith("Election:\n")


def test_completion_is_installed(rdctl: Zipped) -> None:
    rdctl("completion", "bash", "--install")
    script = rdctl.home / ".local/share/bash-completion/completions/rdctl"
    assert "complete" in script.read_text("utf-8")


def test_the_same_tree_gives_the_same_bytes(tree: Path, zipped: Path, tmp_path: Path) -> None:
    copy, file = tmp_path / "copy", tmp_path / "again.pyz"
    shutil.copytree(tree, copy, copy_function=shutil.copy)  # with other times
    (copy / "rdctl/__main__.py").chmod(0o600)
    pyz.write(copy, file)
    assert file.read_bytes() == zipped.read_bytes()
    (copy / "rdctl/__main__.py").write_text("")
    pyz.write(copy, file)
    assert file.read_bytes() != zipped.read_bytes()


def test_only_what_every_platform_imports_is_left(tmp_path: Path) -> None:
    kept = {
        "yaml/__init__.py",
        "certifi/cacert.pem",
        "PyYAML-6.dist-info/METADATA",
        "PyYAML-6.dist-info/licenses/LICENSE",
        "mdurl-1.dist-info/LICENSE.txt",
    }
    dropped = {
        "yaml/_yaml.cpython-311-x86_64-linux-gnu.so",
        "_yaml/__init__.py",
        "bin/rdctl",
        "share/man/man1/rdctl.1",
        "PyYAML-6.dist-info/RECORD",
        "PyYAML-6.dist-info/direct_url.json",
    }
    for name in kept | dropped:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    pyz.prune(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == kept


def test_a_library_that_is_missing_is_not_to_be_installed(rdctl: Zipped) -> None:
    del rdctl.environ["PYTHONPATH"]
    done = subprocess.run(
        [rdctl.file, "rapiddisk", "list"],
        cwd=rdctl.home,
        env=rdctl.environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "click is not installed" in done.stderr
    assert "hint: Replace the file of rdctl with a complete copy." in done.stderr


def test_it_may_be_run_by_all(zipped: Path) -> None:
    assert stat.S_IMODE(zipped.stat().st_mode) == 0o755
