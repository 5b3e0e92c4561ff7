"""connect(), errors, consent, history, warnings, threads and signals of the API."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import rdctl
from rdctl.api.connection import Site
from rdctl.core.environment import Environment, Messages, Stream
from rdctl.sandbox import OIO_HOST, oio_apps
from tests.api.program import work
from tests.conftest import Program
from tests.fakes import faults
from tests.fakes.faults import FaultServer
from tests.fakes.kernel import FakeKernel
from tests.fakes.served import serving

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def proxied(server: FaultServer, **options: Any) -> Site:
    """A site of an oio-proxy."""
    return rdctl.connect(oio=server.url, namespace="OPENIO", account="sandbox", **options)


# --- what is imported -----------------------------------------------------------------------------


def python(code: str, home: Path) -> str:
    """What a program prints."""
    environ = {**os.environ, "HOME": str(home), "RDCTL_SANDBOX": str(home / "sandbox.db")}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    return ran.stdout


def test_the_package_alone_imports_nothing(tmp_path: Path) -> None:
    code = "import sys; old = set(sys.modules); import rdctl; print(sorted({*sys.modules} - old))"
    loaded = set(eval(python(code, tmp_path)))
    assert {name for name in loaded if name.startswith("rdctl")} == {"rdctl"}
    assert loaded <= {"rdctl", "__future__", "typing", "collections", "collections.abc"} | {
        name for name in loaded if name.split(".")[0] in sys.stdlib_module_names
    }
    assert "logging" not in loaded


def test_no_operation_imports_the_command_line(tmp_path: Path) -> None:
    code = """
import sys, rdctl
with rdctl.connect("sandbox") as site:
    site.rapiddisk.volumes.create("64M")
    site.rapiddisk.volumes.remove("rd1", yes=True)
    site.rapiddisk.caches.stats()
    site.rapiddisk.state.apply(site.rapiddisk.state.dump().data)
    site.oio.contents.put("photos", "a", b"a")
    site.oio.contents.get("photos", "a")
    site.oio.contents.list("photos")
    try:
        site.oio.contents.show("photos", "nothing")
    except rdctl.Error:
        pass
print([name for name in sys.modules if name.split(".")[0] in ("click", "rich")
       or name.startswith(("rdctl.cli", "rdctl.completion"))])
"""
    assert python(code, tmp_path) == "[]\n"


def test_unknown_names_of_the_package() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = rdctl.nothing  # type: ignore[attr-defined]
    assert {"connect", "Error", "Site"} <= set(dir(rdctl))


# --- settings -------------------------------------------------------------------------------------


def test_a_context_that_is_not_there(home: Path) -> None:
    with pytest.raises(rdctl.NotFoundError, match='context "sandbux" not found') as caught:
        rdctl.connect("sandbux")
    assert caught.value.code == "not-found"


def test_a_site_is_one_context(home: Path) -> None:
    with pytest.raises(rdctl.Error, match="several contexts") as caught:
        rdctl.connect("sandbox,sandbox")
    assert caught.value.code == "usage"


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"parallel": 0}])
def test_numbers_that_make_no_sense(home: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is less than"):
        rdctl.connect("sandbox", **wrong)
    with pytest.raises(rdctl.Error, match="must be a positive number") as caught:
        rdctl.connect("sandbox", timeout=0)
    assert caught.value.code == "usage"


def test_the_current_context_and_variables_count(
    home: Path, monkeypatch: pytest.MonkeyPatch, program: Program
) -> None:
    assert rdctl.connect().context is None
    monkeypatch.setenv("RDCTL_CONTEXT", "sandbox")
    assert rdctl.connect().context == "sandbox"
    monkeypatch.delenv("RDCTL_CONTEXT")
    program("context", "set", "lab", "rapiddisk=http://127.0.0.1:1")
    program("context", "use", "lab")
    assert rdctl.connect().context == "lab"


def test_a_site_is_a_context_manager_and_can_be_pickled(site: rdctl.Site) -> None:
    with site as same:
        assert same is site
    copied = pickle.loads(pickle.dumps(rdctl.connect("sandbox", dry_run=True)))
    assert copied.rapiddisk.volumes.create("64M").dry_run


def test_errors_can_be_pickled(site: rdctl.Site) -> None:
    with pytest.raises(rdctl.NotFoundError) as caught:
        site.rapiddisk.volumes.show("rd9")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is rdctl.NotFoundError
    assert (str(again), vars(again)) == (str(caught.value), vars(caught.value))


# --- protected contexts ---------------------------------------------------------------------------


@pytest.fixture
def protected(home: Path, program: Program) -> Any:
    """A protected context, which is the current one."""
    program("sandbox", "init")
    with serving(oio_apps(home / "sandbox.db")[OIO_HOST]) as (url,):
        values = (f"oio={url}", "namespace=OPENIO", "account=sandbox", "protected=true")
        assert program("context", "set", "lab", *values).code == 0
        program("context", "use", "lab")
        yield


def test_a_protected_context_has_to_be_named(protected: None) -> None:
    with pytest.raises(rdctl.ConsentError, match="context lab is protected") as caught:
        rdctl.connect().oio.contents.delete("photos", "index.txt", yes=True)
    assert caught.value.hint == "Name the context: rdctl.connect('lab')"
    assert rdctl.connect().oio.contents.exists("photos", "index.txt")
    rdctl.connect("lab").oio.contents.delete("photos", "index.txt", yes=True)
    assert not rdctl.connect().oio.contents.exists("photos", "index.txt")


# --- servers --------------------------------------------------------------------------------------


def test_a_server_that_is_down(home: Path) -> None:
    site = rdctl.connect(rapiddisk="http://127.0.0.1:1", retries=0)
    with pytest.raises(rdctl.UnreachableError) as caught:
        site.rapiddisk.volumes.list()
    assert (caught.value.code, caught.value.exit) == ("unreachable", 6)


def test_a_lost_reply_is_an_unknown_outcome(home: Path) -> None:
    with FaultServer([faults.close()]) as server:
        site = proxied(server, retries=0)
        with pytest.raises(rdctl.UnknownOutcomeError) as caught:
            site.oio.containers.touch("a")
    assert caught.value.exit == 10


def test_the_time_limit_and_retries(home: Path) -> None:
    with FaultServer([faults.silent()] * 3) as server:
        site = proxied(server, timeout=0.2, retries=0)
        with pytest.raises(rdctl.UnreachableError) as caught:
            site.oio.conscience.types()
    assert caught.value.code == "timeout"


def test_the_request_id(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer([faults.json([])] * 3) as server:
        proxied(server).oio.conscience.types()
        monkeypatch.setenv("TRACEPARENT", f"00-{TRACE_ID}-00f067aa0ba902b7-01")
        proxied(server).oio.conscience.types()
        proxied(server, request_id="mine").oio.conscience.types()
    own, *others = [request.headers["X-oio-req-id"] for request in server.requests]
    assert len(own) == 32
    assert others == [TRACE_ID, "mine"]


# --- what the program itself does -----------------------------------------------------------------


class Failing:
    """A function and a file of the program, which has a fault."""

    def __call__(self, losses: Sequence[str]) -> bool:
        raise ZeroDivisionError

    def read(self, size: int) -> bytes:
        raise ZeroDivisionError


def test_exceptions_of_the_program_are_its_own(site: rdctl.Site) -> None:
    with pytest.raises(ZeroDivisionError):
        site.oio.contents.delete("photos", "index.txt", consent=Failing())
    with pytest.raises(ZeroDivisionError):
        site.oio.contents.put("photos", "a", Failing())  # type: ignore[arg-type]
    assert site.oio.contents.exists("photos", "index.txt")
    assert not site.oio.contents.exists("photos", "a")


# --- history --------------------------------------------------------------------------------------


def test_changes_are_in_the_history(site: rdctl.Site, program: Program) -> None:
    site.rapiddisk.volumes.create("64M", count=2)
    site.rapiddisk.volumes.list()
    with pytest.raises(rdctl.Error):
        site.rapiddisk.volumes.lock("rd1", "rd9")
    first, second = program("-c", "sandbox", "history", "--json").json["items"]
    assert first["argv"] == ["python:", "rapiddisk", "create", "--count", "2", "64M"]
    assert (first["result"], first["exit"], first["targets"]) == ("done", 0, ["rd1", "rd2"])
    assert (second["result"], second["exit"]) == ("partial", 8)


def test_secrets_are_not_in_the_history(site: rdctl.Site, program: Program) -> None:
    site.oio.containers.set_properties("photos", {"password": "secret", "color": "blue"})
    (entry,) = program("-c", "sandbox", "history", "--json").json["items"]
    assert entry["argv"][-2:] == ["password=***", "color=blue"]
    assert "secret" not in (program.home / "sandbox.db-history.ndjson").read_text()


@pytest.fixture
def on_machine(tmp_path: Path) -> Any:
    """Sites of the machine with the fake kernel, by their options."""
    kernel = FakeKernel(tmp_path / "root")
    environ = {"HOME": str(tmp_path), "RDCTL_CONFIG": str(tmp_path / "config.toml")}

    def environment() -> Environment:
        nothing = io.BytesIO()
        return Environment(
            stdin=nothing,
            stdout=Stream(nothing, tty=False),
            stderr=Messages(nothing, tty=False),
            environ=environ,
            root=str(tmp_path / "root"),
            calls=kernel,
        )

    yield lambda **options: Site({"environment": environment, **options})
    kernel.close_all()


def test_without_a_history_that_is_required_nothing_is_changed(
    tmp_path: Path, on_machine: Callable[..., Site]
) -> None:
    site = on_machine()
    config = tmp_path / "root/etc/rdctl/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('audit = "required"\n')
    log = tmp_path / "root/var/log"
    log.mkdir(parents=True, exist_ok=True)
    (log / "rdctl").write_text("not a directory")
    with pytest.raises(rdctl.Error, match="history not written"):
        site.rapiddisk.volumes.create("64M")
    assert site.rapiddisk.volumes.list() == []
    config.write_text("")
    warnings: list[str] = []
    on_machine(warn=warnings.append).rapiddisk.volumes.create("64M")
    assert len(site.rapiddisk.volumes.list()) == 1
    assert [words.partition(":")[0] for words in warnings] == ["history not written"]


# --- what is told ---------------------------------------------------------------------------------


def test_nothing_is_printed(site: rdctl.Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.rapiddisk.volumes.create("64M")
    site.rapiddisk.volumes.remove("rd1", yes=True)
    with pytest.raises(rdctl.Error):
        site.rapiddisk.volumes.show("rd1")
    assert capfd.readouterr() == ("", "")


def test_steps_are_logged(site: rdctl.Site, caplog: pytest.LogCaptureFixture) -> None:
    site.rapiddisk.volumes.list()
    assert caplog.records == []
    with caplog.at_level(logging.DEBUG, "rdctl"):
        site.oio.conscience.types()
    assert any("/v3.0/OPENIO/conscience/info" in record.message for record in caplog.records)


def test_warnings_are_logged_or_handed_over(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    reply = faults.json([{"addr": "1.2.3.4:1", "score": 1, "tags": {}}, "unreadable"])
    heard: list[str] = []
    with FaultServer([reply] * 2) as server:
        proxied(server, warn=heard.append).oio.conscience.list("rawx")
        assert caplog.records == []
        proxied(server).oio.conscience.list("rawx")
    assert [record.message for record in caplog.records] == heard
    assert len(heard) == 1


# --- threads and signals --------------------------------------------------------------------------


def test_a_site_is_used_by_several_threads(site: rdctl.Site) -> None:
    with ThreadPoolExecutor(8) as pool:
        put = [pool.submit(site.oio.contents.put, "photos", f"t/{n}", b"%d" % n) for n in range(16)]
        assert all(one.result().changed for one in put)
    got = [site.oio.contents.get("photos", f"t/{number}") for number in range(16)]
    assert got == [b"%d" % number for number in range(16)]


def test_no_handler_of_a_signal_stays(site: rdctl.Site) -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    site.rapiddisk.volumes.create("64M", count=2)
    with pytest.raises(rdctl.Error):
        site.rapiddisk.volumes.show("rd9")
    assert before == {number: signal.getsignal(number) for number in signal.valid_signals()}


def test_ctrl_c_undoes_what_was_begun(site: rdctl.Site, program: Program) -> None:
    """Sent while an upload is read."""
    raised = threading.Event()

    class Endless:
        def read(self, size: int) -> bytes:
            if not raised.is_set():
                raised.set()
                signal.raise_signal(signal.SIGINT)
            return b"x" * size

    with pytest.raises(KeyboardInterrupt):
        site.oio.contents.put("photos", "endless", Endless())  # type: ignore[arg-type]
    assert not site.oio.contents.exists("photos", "endless")
    assert program("-c", "sandbox", "history", "--json").json["items"] == []


def test_an_unfinished_listing_is_no_error(site: rdctl.Site) -> None:
    entries = site.oio.contents.iterate("photos")
    assert next(entries).name
    entries.close()  # type: ignore[attr-defined]
    assert json.dumps(site.oio.contents.list("photos", limit=1)[0])


# --- types ----------------------------------------------------------------------------------------


def test_a_typed_program_runs(site: rdctl.Site) -> None:
    """Its types are checked by `make lint`."""
    assert work(site) == ["rd1", "typed"]


def test_every_public_function_has_types_at_run_time() -> None:
    from release.promises import inventory

    promised = {name for name in inventory() if name.startswith("python ")}
    assert "python Site.oio.contents.put properties" in promised
    assert "python Site.rapiddisk.volumes.remove discard_contents" in promised


# --- wrong arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda at: at.volumes.remove("rd1", yes="no"), "yes: bool is required, not str"),
        (
            lambda at: at.volumes.remove("rd1", yes=True, dryrun=True),
            "Volumes.remove() has no option",
        ),
        (lambda at: at.volumes.remove(None, yes=True), "names: str is required, not NoneType"),
        (lambda at: at.volumes.remove(["rd1"], yes=True), "names: str is required, not list"),
        (lambda at: at.volumes.remove("rd1", consent=True), "consent: a function or None"),
        (lambda at: at.volumes.create("1M", number=True), "number: int or None is required"),
        (lambda at: at.volumes.create(b"1M"), "size: int or str is required, not bytes"),
        (lambda at: at.exports.create("rd1", ports=7, any_host=True), "ports: a sequence of int"),
        (lambda at: at.exports.create("rd1", ports=iter([7]), any_host=True), "ports: a sequence"),
        (lambda at: at.exports.create("rd1", ports=["7"], any_host=True), "ports: a sequence of"),
        (lambda at: at.exports.create("rd1", ports=[7], hosts="nqn.a"), "hosts: a sequence of str"),
        (lambda at: rdctl.connect(b"lab"), "context: str or None is required, not bytes"),  # type: ignore[arg-type]
        (lambda at: rdctl.connect("sandbox", yes="no"), "yes: bool is required"),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_other_types_are_refused(
    site: Site, act: Callable[[Any], Any], message: str
) -> None:
    """Nothing is done: `yes="no"` is not consent, and a misspelled option is not ignored."""
    site.rapiddisk.volumes.create("1M")
    with pytest.raises(TypeError) as refused:
        act(site.rapiddisk)
    assert str(refused.value).startswith(message)
    assert [volume.device for volume in site.rapiddisk.volumes.list()] == ["rd0", "rd1"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda at: at.rapiddisk.volumes.create("1M", number=-1), "number: -1 is less than 0"),
        (lambda at: at.rapiddisk.volumes.create("1M", count=0), "count: 0 is less than 1"),
        (lambda at: at.rapiddisk.ports.add(65536, "loop"), "number: 65536 is more than 65535"),
        (lambda at: at.rapiddisk.state.dump(only="volumes"), "only: 'volumes': must be"),
        (lambda at: at.rapiddisk.ports.add(9, "udp"), "transport: 'udp': must be"),
        (lambda at: at.oio.contents.list("photos", limit=0), "limit: 0 is less than 1"),
        (lambda at: at.oio.containers.list(limit=-1), "limit: -1 is less than 1"),
        (lambda at: at.oio.contents.put("photos", "", b"x"), "path: must not be empty"),
        (lambda at: at.oio.containers.create(""), "names: must not be empty"),
        (lambda at: rdctl.connect(""), "context: must not be empty"),
    ],
)
def test_values_out_of_range_are_refused(
    site: Site, act: Callable[[Any], Any], message: str
) -> None:
    """As on the command line: an empty name is not that of another thing."""
    with pytest.raises(ValueError) as refused:
        act(site)
    assert str(refused.value).startswith(message)
    assert [entry.name for entry in site.oio.contents.list("photos")][-1] == "sea/storm.svg"
    assert [volume.device for volume in site.rapiddisk.volumes.list()] == ["rd0"]


def test_arguments_like_those_declared_are_accepted(site: Site) -> None:
    """Numbers of numpy, and other collections than lists."""
    import numpy

    get = site.oio.contents.get
    first: Any = numpy.int64(6)
    assert get("photos", "index.txt", start=first, end=first + 3) == b"two"
    names = {"nqn.2014-08.org.nvmexpress:uuid:7a": None}.keys()
    site.rapiddisk.volumes.create("1M")
    exports = site.rapiddisk.exports
    made = exports.create("rd1", ports=(2,), hosts=names, dry_run=True)  # type: ignore[arg-type]
    assert made.changes[0].facts["after"]["ports"] == [2]
