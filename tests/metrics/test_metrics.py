"""rdctl metrics: what is in it, how it fails, and the file for node_exporter."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from rdctl.metrics.exposition import exposed
from rdctl.metrics.model import METRICS, Sample, sampled
from tests.conftest import Program, Ran
from tests.doctor.conftest import NQN, Run, healthy
from tests.doctor.test_exposure import HOST, PUBLIC, ROUTES, exported
from tests.fakes.faults import FaultServer, silent
from tests.fakes.faults import json as reply
from tests.fakes.kernel import MIB, NVMET, FakeKernel
from tests.fakes.rapiddiskd import DIALECTS, Cache, Daemon, Target, Volume
from tests.metrics.exposition import Family, parse, value
from tests.rapiddisk.keys import ONE_KEY

__all__ = ["healthy"]  # the fixture

LOCAL = "inventory cache_stats memory status exports boot".split()
REMOTE = "inventory cache_stats memory status".split()
OIO = ["oio_accounts", "oio_events", "oio_services"]


def read(ran: Ran, code: int = 0) -> dict[str, Family]:
    assert ran.code == code, ran.err
    assert (ran.err == "") is (code == 0)
    return parse(ran.out)


def parts(families: dict[str, Family]) -> dict[str, float]:
    return {labels[-1][1]: n for labels, n in families["rdctl_scrape_success"].samples.items()}


# The format -----------------------------------------------------------------------------------


def test_all_metrics_follow_the_rules_of_prometheus() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch(r"(rdctl|rapiddisk|oio)(_[a-z]+)+", name)
        assert (metric.kind == "counter") is name.endswith("_total"), name
        assert metric.kind in ("counter", "gauge")
        # OpenMetrics names the family of a counter without the suffix.
        assert metric.kind == "gauge" or name.removesuffix("_total") not in METRICS, name
        assert metric.help.endswith("."), name
        for word in ("size", "usage", "dirty", "unwritten", "memory"):
            assert word not in name.split("_") or name.endswith("_bytes"), name


def test_names_are_escaped_and_repetitions_left_out() -> None:
    odd = 'a "b"\\n\n{},|é\udce9'
    samples = [*sampled("oio_account_bytes", 1, account=odd), *sampled("oio_accounts", 2)]
    samples += [Sample("oio_accounts", 3), *sampled("oio_account_bytes", None, account="x")]
    text = exposed(samples)
    assert text.encode().count(b"\n") == 6
    families = parse(text)
    assert families["oio_accounts"].samples == {(): 2}
    ((labels, number),) = families["oio_account_bytes"].samples.items()
    assert (dict(labels), number) == ({"account": 'a "b"\\n\n{},|é\\udce9'}, 1)


def test_the_sandbox(sandbox: Run) -> None:
    sandbox("oio", "account", "create", 'odd "name"\\')
    first, second = sandbox("metrics"), sandbox("metrics")
    families = read(first)
    assert list(families) == sorted(families)
    for name, family in families.items():
        assert (family.kind, family.help) == (METRICS[name].kind, METRICS[name].help)
        assert list(family.samples) == sorted(family.samples)
    assert parts(families) == dict.fromkeys(
        [*OIO, *sorted(f"rapiddisk_{part}" for part in LOCAL)], 1
    )
    assert value(families, "oio_account_bytes", account='odd "name"\\') == 0
    assert value(families, "rapiddisk_volume_size_bytes", volume="rd0") == 32 * MIB
    assert value(families, "oio_service_up", type="rawx", service="127.0.0.1:16013") == 1

    def without_times(ran: Ran) -> str:
        return re.sub(r"(?m)^(rdctl_scrape_(?:dur|time).*) \S+$", r"\1", ran.out)

    assert without_times(first) == without_times(second)


def test_one_system(sandbox: Run) -> None:
    assert all(
        part.startswith("rapiddisk") for part in parts(read(sandbox("metrics", "rapiddisk")))
    )
    assert list(parts(read(sandbox("metrics", "oio")))) == OIO


def test_as_data(sandbox: Run) -> None:
    data = sandbox("metrics", "--json").json
    by_name = {metric["name"]: metric for metric in data["metrics"]}
    assert set(by_name) == set(read(sandbox("metrics")))
    assert by_name["rapiddisk_volume_locked"]["samples"] == [
        {"labels": {"volume": "rd0"}, "value": 0}
    ]
    assert {part["error"] for part in data["parts"]} == {None}
    ran = sandbox("metrics", "--json", "--query", "parts[0].part")
    assert ran.json == "rapiddisk_inventory"


# This machine -----------------------------------------------------------------------------------


def test_a_machine(healthy: Run, kernel: FakeKernel) -> None:
    kernel.map_cache("rc-wb_sdb", "rd0", "sdb", dirty=512)
    families = read(healthy("metrics"))
    assert list(parts(families)) == sorted(f"rapiddisk_{part}" for part in LOCAL)
    info = {"cache": "rc-wt_vdb", "volume": "rd1", "source": "vdb", "policy": "write-through"}
    assert value(families, "rapiddisk_cache_info", **info) == 1
    cache = {"cache": "rc-wb_sdb"}
    assert value(families, "rapiddisk_cache_dirty_bytes", **cache) == 512 * 4096
    assert value(families, "rapiddisk_cache_dirty_bytes", cache="rc-wt_vdb") is None
    counted = {"reads": 1034, "hits": 646, "writes": 8, "disk_reads": 388, "disk_writes": 8}
    for name, number in counted.items():
        assert value(families, f"rapiddisk_cache_{name}_total", cache="rc-wt_vdb") == number
    assert value(families, "rapiddisk_cache_reads_total", **cache) == 1034
    assert value(families, "rapiddisk_cache_failed", **cache) == 0
    assert value(families, "rapiddisk_cache_failed", cache="rc-wt_vdb") is None
    assert value(families, "rapiddisk_module_info", module="rapiddisk", version="9.2.0") == 1
    assert value(families, "rapiddisk_exports") == 1
    assert value(families, "rapiddisk_port_info", port="1", transport="tcp") == 1
    assert value(families, "rapiddisk_state_valid") is None


def test_who_can_use_an_export(healthy: Run, kernel: FakeKernel) -> None:
    def facts() -> list[float | None]:
        families = read(healthy("metrics"))
        names = (
            "authenticated",
            "tls",
            "wildcard_ports",
            "public_ports",
            "public_unencrypted_ports",
        )
        return [value(families, f"rapiddisk_export_{name}", nqn=NQN) for name in names]

    exported(kernel, "10.0.2.15")
    assert facts() == [0, 0, 0, 0, 0]
    kernel.put(f"{NVMET}/ports/1/addr_traddr", f"{PUBLIC}\n")
    assert facts() == [0, 0, 0, 1, 1]
    kernel.put(f"{NVMET}/hosts/{HOST}/dhchap_key", f"{ONE_KEY}\n")
    assert facts() == [1, 0, 0, 1, 1]
    kernel.put(f"{NVMET}/ports/1/addr_tsas", "tls1.3\n")
    kernel.put(f"{NVMET}/ports/1/addr_treq", "required\n")
    assert facts() == [1, 1, 0, 1, 0]
    exported(kernel, "0.0.0.0", any_host=True)
    assert facts() == [0, 1, 1, 0, 0]
    kernel.put("proc/net/fib_trie", ROUTES)
    assert facts() == [0, 1, 1, 1, 0]


def test_what_is_broken(healthy: Run, kernel: FakeKernel) -> None:
    kernel.map_cache("rc-wb_sdb", "rd0", "sdb", dirty=8)
    kernel.begin_mapping("rc-wt_sda")
    kernel.fail_source("rc-wb_sdb")
    kernel.tear_out("rd1")
    families = read(healthy("metrics"))
    broken = {"rc-wb_sdb": 0, "rc-wt_sda": 1, "rc-wt_vdb": 1}
    for cache, number in broken.items():
        assert value(families, "rapiddisk_cache_broken", cache=cache) == number
    assert value(families, "rapiddisk_cache_failed", cache="rc-wb_sdb") == 1


def test_the_state_file(healthy: Run, kernel: FakeKernel) -> None:
    kernel.put(
        "etc/rdctl/rapiddisk.toml",
        'schema = "rdctl.rapiddisk.state/1"\n[volumes.rd9]\nsize = "8MiB"\n',
    )
    families = read(healthy("metrics"))
    assert value(families, "rapiddisk_state_valid") == 1
    assert value(families, "rapiddisk_state_differences", state="missing") == 1
    assert value(families, "rapiddisk_boot_unit_enabled", unit="rdctl-caches.service") == 0
    assert healthy("rapiddisk", "boot", "enable").code == 0
    families = read(healthy("metrics"))
    assert value(families, "rapiddisk_boot_unit_enabled", unit="rdctl-caches.service") == 1
    kernel.put("etc/rdctl/rapiddisk.toml", "volumes = 7\n")
    families = read(healthy("metrics"))
    assert value(families, "rapiddisk_state_valid") == 0
    assert "rapiddisk_state_differences" not in families


def test_a_state_file_that_names_a_missing_file(healthy: Run, kernel: FakeKernel) -> None:
    """Unlike a missing state file, this is a failure."""
    kernel.has_auth = True
    host = f"{NVMET}/hosts/nqn.2014-08.org.example:db1"
    kernel.path(host).mkdir(parents=True)
    kernel.put(f"{host}/dhchap_key", f"{ONE_KEY}\n")
    file = kernel.path("db1.key")
    text = f'[hosts."nqn.2014-08.org.example:db1"]\nauth_key_file = "{file}"\n'
    kernel.put("etc/rdctl/rapiddisk.toml", f'schema = "rdctl.rapiddisk.state/1"\n{text}')
    ran = healthy("metrics")
    assert parts(read(ran, 8))["rapiddisk_state"] == 0
    assert f"rapiddisk_state: key file {file} not found" in ran.err
    ran = healthy("check")
    assert ran.code == 3
    assert ran.out.startswith(f"RDCTL UNKNOWN - rapiddisk_state: key file {file} not found")


def test_each_part_fails_alone(healthy: Run, kernel: FakeKernel) -> None:
    kernel.root_user = False
    ran = healthy("metrics")
    families = read(ran, 8)
    failed = [part for part, success in parts(families).items() if not success]
    assert failed == ["rapiddisk_cache_stats"]
    assert ran.err.startswith("rdctl: error: rapiddisk_cache_stats: ")
    assert value(families, "rapiddisk_volumes") == 2
    kernel.root_user = True
    kernel.unmount_configfs()
    failed = [part for part, success in parts(read(healthy("metrics"), 8)).items() if not success]
    assert failed == ["rapiddisk_exports"]


def test_what_a_machine_does_not_have(rdctl: Program, local: Run, kernel: FakeKernel) -> None:
    """No export module, no systemd: no failures, and no samples."""
    kernel.systemctl = False
    for path in ("sys/module/nvmet", NVMET):
        shutil.rmtree(kernel.path(path))
    families = read(local("metrics"))
    assert "rapiddisk_boot" not in parts(families)
    assert value(families, "rapiddisk_exports") == 0


def test_without_the_module(local: Run, kernel: FakeKernel) -> None:
    kernel.path("sys/kernel/rapiddisk/mgmt").unlink()
    families = read(local("metrics"), 8)
    assert value(families, "rapiddisk_memory_total_bytes") is not None
    assert "rapiddisk_memory_used_bytes" not in families
    assert "rapiddisk_volumes" not in families


# Daemons ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_daemon_is_never_asked_what_can_crash_it(rdctl: Program, dialect: str) -> None:
    volumes = {"rd0": Volume(64), "rd1": Volume(64)}
    caches = {"rc-wt_vdb": Cache("rd1", "vdb"), "rc-x y": Cache("rd0", "vdc")}
    exports = [Target("nqn.x", "/dev/rd0", [1])]
    counted = {"device": "rc-wt_vdb", "reads": 7, "cache_hits": 3, "writes": 2}
    stats = {"statistics": [{"cache_stats": [counted]}]}
    with Daemon(dialect, volumes=volumes, caches=caches, targets=exports) as daemon:
        daemon.instead["showRapidDiskCacheStats"] = reply(stats)
        ran = rdctl("--rapiddisk-url", daemon.url, "metrics")
    families = read(ran)
    assert list(parts(families)) == sorted(f"rapiddisk_{part}" for part in REMOTE)
    routes = {request.split("/")[0] for request in daemon.requests}
    assert routes == {
        "GET listRapidDiskVolumes",
        "GET showRapidDiskCacheStats",
        "GET listAllResources",
        "GET checkServiceStatus",
    }
    assert "GET showRapidDiskCacheStats/rc-x%20y" not in daemon.requests
    assert value(families, "rapiddisk_cache_hits_total", cache="rc-wt_vdb") == 3
    assert value(families, "rapiddisk_daemon_info", version=daemon.version) == 1
    for name in ("cache_dirty_bytes", "volume_unwritten_bytes", "exports", "module_loaded"):
        assert f"rapiddisk_{name}" not in families
    modern = dialect.startswith("9.")
    assert ("rapiddisk_volume_locked" in families) is modern
    assert ("rapiddisk_cache_broken" in families) is (dialect != "9.0.0-deb")


def test_a_server_that_does_not_reply(rdctl: Program, healthy: Run) -> None:
    with FaultServer([silent()]) as frozen:
        where = ("--oio-url", frozen.url, "--namespace", "NS", "--timeout", "1")
        ran = rdctl("--local", *where, "metrics")
    families = read(ran, 8)
    success = parts(families)
    assert success.pop("oio_accounts") == success.pop("oio_services") == 0
    assert set(success.values()) == {1}


def test_a_daemon_that_is_down_is_asked_once(rdctl: Program) -> None:
    with FaultServer([silent()]) as frozen:
        ran = rdctl("--rapiddisk-url", frozen.url, "--timeout", "1", "metrics")
        assert len(frozen.requests) == 1
    assert ran.code == 7
    assert set(parts(parse(ran.out)).values()) == {0}
    ran = rdctl("--rapiddisk-url", "http://127.0.0.1:1", "metrics")
    assert ran.code == 6
    assert set(parts(parse(ran.out)).values()) == {0}


def test_a_machine_that_cannot_be_reached_took_its_time(rdctl: Program) -> None:
    families = parse(rdctl("--rapiddisk-url", "ssh://127.0.0.1:1", "metrics").out)
    assert parts(families) == {"rapiddisk": 0}
    assert (value(families, "rdctl_scrape_duration_seconds", part="rapiddisk") or 0) > 0


def test_what_is_not_configured(rdctl: Program) -> None:
    ran = rdctl("--local", "metrics", "oio")
    assert (ran.code, ran.out) == (2, "")
    rdctl("context", "set", "none", "account=x")
    ran = rdctl("-c", "none", "metrics")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith('rdctl: error: context "none" has neither RapidDisk nor OpenIO SDS\n')


# Several contexts -------------------------------------------------------------------------------


def test_several_contexts(rdctl: Program, kernel: FakeKernel) -> None:
    rdctl("context", "set", "here", "rapiddisk=local")
    rdctl("context", "set", "gone", "rapiddisk=http://127.0.0.1:1")
    ran = rdctl("-c", "here,gone,sandbox", "metrics", "rapiddisk")
    families = read(ran, 8)
    for family in families.values():
        assert {dict(labels)["context"] for labels in family.samples} <= {"here", "gone", "sandbox"}
    assert value(families, "rapiddisk_volumes", context="here") == 0
    assert value(families, "rapiddisk_volumes", context="sandbox") == 1
    assert value(families, "rapiddisk_volumes", context="gone") is None
    success = families["rdctl_scrape_success"].samples
    assert success[("context", "gone"), ("part", "rapiddisk_inventory")] == 0
    assert "rdctl: error: gone: rapiddisk_inventory and 3 more: " in ran.err
    ran = rdctl("-c", "here,gone", "metrics", "oio")
    assert ran.code == 2
    assert value(parse(ran.out), "rdctl_scrape_success", context="gone", part="context") == 0


# The file ---------------------------------------------------------------------------------------


def test_the_file_is_replaced(sandbox: Run, tmp_path: Path) -> None:
    file = tmp_path / "rdctl.prom"
    before = os.umask(0o077)
    try:
        ran = sandbox("metrics", "--textfile", str(file))
    finally:
        os.umask(before)
    assert (ran.code, ran.err) == (0, "")
    count = file.read_text().count("\n") - 2 * file.read_text().count("# TYPE")
    assert ran.out == f"{file} written (samples {count})\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    first = file.stat().st_ino
    assert sandbox("-q", "metrics", "--textfile", str(file)).code == 0
    assert file.stat().st_ino != first
    assert parts(parse(file.read_text()))["oio_services"] == 1
    assert [path.name for path in tmp_path.glob("*rdctl.prom*")] == ["rdctl.prom"]
    assert "metrics" not in sandbox("history").out


def test_a_dry_run_writes_nothing(sandbox: Run, tmp_path: Path) -> None:
    file = tmp_path / "rdctl.prom"
    ran = sandbox("metrics", "--textfile", str(file), "--dry-run")
    assert (ran.code, file.exists()) == (0, False)
    assert f"would write {file}\n" in ran.out


def test_no_old_values_stay(rdctl: Program, tmp_path: Path) -> None:
    """Whatever fails, the file says so."""
    file = tmp_path / "rdctl.prom"
    words = ("metrics", "--textfile", str(file))
    for where, code, part in (
        (("--rapiddisk-url", "http://127.0.0.1:1"), 6, "rapiddisk_inventory"),
        (("-c", "nothere"), 3, "context"),
        (("-c", "a,b"), 3, "context"),
    ):
        assert rdctl("-c", "sandbox", *words).code == 0
        ran = rdctl(*where, *words)
        assert ran.code == code
        assert ran.err.startswith("rdctl: error: ")
        families = parse(file.read_text())
        assert parts(families)[part] == 0
        assert set(families) == {
            "rdctl_build_info",
            "rdctl_scrape_duration_seconds",
            "rdctl_scrape_success",
            "rdctl_scrape_timestamp_seconds",
        }


def test_a_partial_failure_is_partial(rdctl: Program, local: Run, kernel: FakeKernel) -> None:
    kernel.path("sys/kernel/rapiddisk/mgmt").unlink()
    ran = local("metrics", "--textfile", str(rdctl.home / "x.prom"), "--json")
    assert ran.code == 8
    report = json.loads(ran.out)
    assert report["status"] == "partial"
    assert {error["target"] for error in report["errors"]} == {
        "rapiddisk_inventory",
        "rapiddisk_cache_stats",
    }


def test_a_file_that_cannot_be_written(sandbox: Run, tmp_path: Path) -> None:
    (tmp_path / "folder.prom").mkdir()
    os.mkfifo(tmp_path / "pipe.prom")
    for name, why in (("folder", "Is a directory"), ("pipe", "not a regular file")):
        ran = sandbox("metrics", "--textfile", str(tmp_path / f"{name}.prom"))
        assert (ran.code, ran.out) == (5, "")
        assert why in ran.err
    mistyped = tmp_path / "node-exporte" / "rdctl.prom"
    ran = sandbox("metrics", "--textfile", str(mistyped))
    assert (ran.code, ran.out, mistyped.parent.exists()) == (3, "", False)
    assert ran.err.startswith(
        f"rdctl: error: directory {mistyped.parent} of the textfile not found"
    )
    ran = sandbox("metrics", "rapiddisk", "--textfile", str(tmp_path / "rdctl.txt"))
    assert (ran.code, "node_exporter will ignore it" in ran.err) == (0, True)
    assert "rapiddisk_volumes" in parse(sandbox("metrics", "--textfile", "-").out)
