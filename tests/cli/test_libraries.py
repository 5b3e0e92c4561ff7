"""Libraries that are missing, too old or broken, or a Python that is too old: one message."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import pytest

from tests.cli.processes import ROOT, Rdctl

# The real one, but for its version.
_CLICK = Path(click.__file__)
_ALMOST = f"""
__path__.append({str(_CLICK.parent)!r})
exec(open({str(_CLICK)!r}).read())
__version__ = "8.1.2"
"""
# requests is needed for TLS.
_REMOTE = "--rapiddisk-url https://127.0.0.1:1 rapiddisk list"
# Of each library: what is imported instead of it, a command that needs it, what the message says.
INSTEAD = {
    "click old": ("click", '__version__ = "7.1.2"', "rapiddisk list", "7.1.2 in {} is too old"),
    "click almost": ("click", _ALMOST, "--help", "click 8.1.2 in {} is too old"),
    "click broken": ("click", "x = 1\nfoo()", "--help", "is broken: NameError: name 'foo'"),
    "click damaged": ("click", "def", "rapiddisk list", "click in {} is broken: SyntaxError"),
    "click unreadable": ("click", "raise OSError(5, 'gone')", "version", "broken: OSError: [Errno"),
    "requests old": ("requests", '__version__ = "2.20.0"', _REMOTE, "2.20.0 in {}"),
    "requests broken": ("requests", "import nowhere", _REMOTE, "No module named"),
    "urllib3 old": ("urllib3", '__version__ = "1.24.3"', _REMOTE, "1.26.5 or later"),
    "yaml old": ("yaml", '__version__ = "5.4"', "rapiddisk list -o yaml", "PyYAML 5.4 in {}"),
    "yaml broken": ("yaml", "1 / 0", "rapiddisk list -o yaml", "is broken: ZeroDivisionError"),
    "jmespath old": (
        "jmespath",
        '__version__ = "0.9.4"',
        "rapiddisk list --query []",
        "jmespath 0.9.4 in {} is too old: rdctl requires 1.0 or later",
    ),
    "tabulate old": (
        "tabulate",
        '__version__ = "0.7"',
        "rapiddisk list --table-style grid",
        "tabulate 0.7 in {} is too old",
    ),
}


@pytest.fixture
def rdctl(tmp_path: Path) -> Rdctl:
    return Rdctl(tmp_path)


@pytest.fixture
def instead(rdctl: Rdctl, tmp_path: Path) -> Callable[[str, str], Path]:
    """Put a module before the real one."""

    def put(name: str, text: str) -> Path:
        directory = tmp_path / "instead"
        (directory / name).mkdir(parents=True)
        (directory / name / "__init__.py").write_text(text)
        rdctl.env["PYTHONPATH"] = f"{directory}{os.pathsep}{ROOT}"
        return directory

    return put


@pytest.mark.parametrize("case", INSTEAD)
def test_one_plain_message(rdctl: Rdctl, instead: Callable[[str, str], Path], case: str) -> None:
    name, text, words, message = INSTEAD[case]
    directory = instead(name, text)
    context = () if words is _REMOTE else ("-c", "sandbox")
    code, out, err = rdctl(*context, *words.split())
    first, *hints = err.splitlines()
    assert first.startswith("rdctl: error: ")
    assert message.replace("{}", str(directory)) in first
    assert hints == ["hint: Run: unset PYTHONPATH"]
    assert code == 1
    assert out == "" or json.loads(out)["error"]["code"] == "failed"
    for option in ("--version", "-V"):
        assert rdctl(option)[0] == 0


def test_a_document_of_the_error(rdctl: Rdctl, instead: Callable[[str, str], Path]) -> None:
    instead("click", '__version__ = "7.0"')
    code, out, _ = rdctl("rapiddisk", "list", "--json")
    document = json.loads(out)
    assert (code, document["schema"], document["error"]["code"]) == (1, "rdctl.error/1", "failed")
    assert "click 7.0" in document["error"]["message"]


def test_a_document_without_yaml(rdctl: Rdctl, instead: Callable[[str, str], Path]) -> None:
    """What a removal leaves of PyYAML can be imported, and has nothing in it."""
    instead("yaml", '__version__ = "6.0"')
    code, out, err = rdctl("-c", "sandbox", "rapiddisk", "list", "-o", "yaml")
    assert (code, json.loads(out)["schema"]) == (1, "rdctl.error/1")
    assert "Traceback" not in err


def test_what_does_not_need_it_works(rdctl: Rdctl, instead: Callable[[str, str], Path]) -> None:
    instead("requests", "import nowhere")
    code, out, err = rdctl("-c", "sandbox", "rapiddisk", "list", "-o", "name")
    assert (code, err) == (0, "")
    assert "rd0" in out.split()


def test_several_contexts(rdctl: Rdctl, instead: Callable[[str, str], Path]) -> None:
    for name in "ab":
        url = "oio=https://127.0.0.1:1"
        assert rdctl("context", "set", name, url, "namespace=NS", "account=me")[0] == 0
    instead("requests", "import nowhere")
    code, _, err = rdctl("-c", "a,b", "oio", "container", "list")
    assert code == 1
    assert "requests " in err
    assert "is broken: ModuleNotFoundError: No module named 'nowhere'" in err
    assert "internal error" not in err
    assert "hint: Run: unset PYTHONPATH" in err.splitlines()


def test_completion_is_silent(rdctl: Rdctl, instead: Callable[[str, str], Path]) -> None:
    instead("requests", "import nowhere")
    words = ("bash", "container", "", "", "", "0", "rdctl", "-c", "sandbox")
    assert rdctl("__complete", *words) == (0, "", "")


def test_doctor_names_the_same_command(rdctl: Rdctl, instead: Callable[[str, str], Path]) -> None:
    directory = instead("jmespath", '__version__ = "0.9.4"')
    code, out, _ = rdctl("-c", "sandbox", "doctor", "--json")
    wrong, fine = (row for row in json.loads(out)["items"] if row["check"] == "libraries")
    assert wrong["message"].startswith(f"jmespath 0.9.4 in {directory} is too old")
    assert (code, wrong["severity"], wrong["mend"]) == (1, "error", "unset PYTHONPATH")
    assert (fine["severity"], fine["message"].split()[0]) == ("ok", "click")


# --- without any library ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with rdctl alone."""
    path = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(path, symlinks=True)
    lib = path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (lib / "rdctl").symlink_to(ROOT / "rdctl")
    return path


RECEIPTS: Mapping[str, tuple[str, str]] = {
    "pip": ("", "{}/bin/python -m pip install --upgrade 'click>=8.1.3' 'rich>=13' "),
    "pipx": ("pipx_metadata.json", "pipx reinstall rdctl"),
    "uv": ("uv-receipt.toml", "uv tool install --reinstall rdctl"),
}


@pytest.mark.parametrize("kind", RECEIPTS)
def test_nothing_is_installed(bare: Path, tmp_path: Path, kind: str) -> None:
    receipt, command = RECEIPTS[kind]
    rdctl = Rdctl(tmp_path)
    rdctl.argv = (str(bare / "bin/python"), "-m", "rdctl")
    del rdctl.env["PYTHONPATH"]
    if receipt:
        (bare / receipt).touch()
    try:
        code, out, err = rdctl("-c", "sandbox", "rapiddisk", "list")
    finally:
        if receipt:
            (bare / receipt).unlink()
    first, hint = err.splitlines()
    assert first.startswith(
        "rdctl: error: click is not installed: rdctl requires 8.1.3 or later; rich is not installed"
    )
    assert hint.startswith(f"hint: Run: {command.replace('{}', str(bare))}")
    assert (code, out) == (1, "")


# --- Python -----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["rdctl/__init__.py", "rdctl/__main__.py"])
def test_older_pythons_can_read(file: str) -> None:
    source = (ROOT / file).read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    assert not [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ], "Python 3.6 has no annotations to import from there"


@pytest.mark.parametrize(
    ("path", "argv", "hint"),
    [
        ("", "/opt/rdctl.pyz", "Install Python 3.11 or later."),
        ("{}", "/opt/rdctl.pyz", "Run: {}/python3.13 /opt/rdctl.pyz"),
        ("{}", "/opt/rdctl/__main__.py", "Run: {}/python3.13 -m rdctl"),
    ],
)
def test_a_python_that_is_too_old(tmp_path: Path, path: str, argv: str, hint: str) -> None:
    other = tmp_path / "python3.13"
    other.touch()
    other.chmod(0o755)
    script = (
        "import sys; from rdctl.__main__ import main; sys.version_info = (3, 9, 18);"
        f"sys.argv = [{argv!r}, *sys.argv[1:]]; main()"
    )

    def run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        env = {"PATH": path.replace("{}", str(tmp_path)), "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-c", script, *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    ran = run(["rapiddisk", "list"])
    assert ran.stderr.splitlines() == [
        "rdctl: error: Python 3.9 is too old: rdctl requires Python 3.11 or later",
        f"hint: {hint.replace('{}', str(tmp_path))}",
    ]
    assert (ran.returncode, ran.stdout) == (1, "")
    assert run(["--version"]).stdout.startswith("rdctl ")


def test_a_start_does_not_look_for_faults(rdctl: Rdctl) -> None:
    rdctl.argv = (sys.executable, "-X", "importtime", "-m", "rdctl")
    _, _, err = rdctl("-c", "sandbox", "rapiddisk", "list", "-o", "yaml")
    loaded = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert "rdctl.core.floors" in loaded
    assert "rdctl.core.libraries" not in loaded
