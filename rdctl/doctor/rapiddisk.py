"""RapidDisk: of this machine, or of another as its daemon reports it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import human_size, numbers, operand, quoted
from rdctl.doctor import boot
from rdctl.doctor.findings import (
    ERROR,
    Check,
    Finding,
    after,
    as_root,
    compared,
    count,
    found_by,
    in_the_clear,
    is_here,
    on_this_machine,
    rdctl_again,
    unless_any,
)
from rdctl.rapiddisk.model import OLDER_DAEMON, misread

if TYPE_CHECKING:
    from rdctl.rapiddisk.model import Cache, Target
    from rdctl.sites import Site

# Loaded by the kernel itself when they are first needed.
_ON_DEMAND = ("dm-writecache", "nvmet-tcp", "nvmet-rdma", "nvme-loop")
_BLOCK = 4096
# Its copy_to_rdsk() takes a mutex with preemption disabled; seen in 9.0.0, fixed in 9.2.0.
_WAITS_WHILE_ATOMIC = "9.0.0"


def _no_rapiddisk(site: Site) -> Iterator[Finding]:
    name = site.settings.context
    yield Finding.skipped(
        f'not checked: context "{name}" has no RapidDisk endpoint',
        why=f"Set it: rdctl context set {name} rapiddisk=http://HOST:9118 (or rapiddisk=local)",
    )


def _modules(site: Site) -> Iterator[Finding]:
    status = site.rapiddisk.status().value
    modules = {module.module: module for module in status.modules}
    here = []
    for name, module in modules.items():
        if module.loaded:
            here.append(f"{name} {module.version or ''}".rstrip())
        elif name not in _ON_DEMAND:
            yield _unloaded(site, name, module.load)
    lacking = [name for name in _ON_DEMAND if not modules[name].loaded and not modules[name].load]
    if lacking:
        yield Finding.skipped(
            f"this kernel has no {', '.join(lacking)}",
            why="Needed for: "
            + "; ".join(modules[name].needed_for.partition(";")[0] for name in lacking)
            + ".",
        )
    if status.status == "unsupported version":
        try:
            site.rapiddisk.volumes.list(None)
        except RdctlError as error:
            yield found_by(site, error)._replace(severity=ERROR)
    if modules["rapiddisk"].version == _WAITS_WHILE_ATOMIC:
        yield Finding.warning(
            f"the kernel module rapiddisk {_WAITS_WHILE_ATOMIC} can crash programs that write at"
            " the same time",
            subject="rapiddisk",
            why="Concurrent writes to volumes can make it sleep in atomic context: the log shows"
            ' "BUG: scheduling while atomic", a program may get a segmentation fault, and removing'
            " a volume may hang. Fixed in 9.2.0, which Debian 13 has as rapiddisk-dkms.",
        )
    if here:
        yield Finding.ok(f"loaded: {', '.join(here)}")


def _unloaded(site: Site, name: str, load: str | None) -> Finding:
    message = f"the kernel module {name} is not loaded"
    if load is not None:
        mend = as_root(site, load)
        why = "On Debian it is in the package rapiddisk-dkms."
    else:
        mend = as_root(site, "apt-get install rapiddisk-dkms")
        why = "It is not installed for this kernel."
    if name == "rapiddisk":
        return Finding.error(message, subject=name, why=why, mend=mend)
    if name == "rapiddisk-cache":
        why = f"Write-through and write-around caches require it. {why}"
        return Finding.warning(message, subject=name, why=why, mend=mend)
    if load is None:
        message = f"this kernel has no {name}: exports are not available"
        return Finding.skipped(message, subject=name)
    return Finding.skipped(f"{message}; only exports require it", subject=name, mend=mend)


def _configfs(site: Site) -> Iterator[Finding]:
    nvmet = {module.module: module for module in site.rapiddisk.status().value.modules}["nvmet"]
    if site.rapiddisk.surroundings().configfs:
        yield Finding.ok("configfs is mounted on /sys/kernel/config")
    elif not nvmet.loaded:
        yield Finding.skipped("configfs is not mounted; only needed with the kernel module nvmet")
    else:
        yield Finding.error(
            "configfs is not mounted",
            why="Exports can be neither listed nor created.",
            mend=as_root(site, "mount -t configfs none /sys/kernel/config"),
        )


def _devices(site: Site) -> Iterator[Finding]:
    """What creates the device nodes of caches."""
    here = site.rapiddisk.surroundings()
    if not here.device_mapper:
        yield Finding.warning(
            "/dev/mapper/control not found",
            why="Caches require device-mapper.",
            mend=as_root(site, "modprobe dm-mod"),
        )
    if not here.udev:
        yield Finding.warning(
            "udev is not running",
            why="Caches get no name in /dev/mapper, and a rapiddiskd 9.1 or later lists none.",
            mend=as_root(site, "systemctl start systemd-udevd"),
        )
    if here.device_mapper and here.udev:
        yield Finding.ok("device-mapper is available, udev is running")


def _root(site: Site) -> Iterator[Finding]:
    if site.is_root:
        yield Finding.ok("running as root")
    else:
        yield Finding.skipped(
            "not running as root: changes are denied, and unwritten data in caches are not shown",
            mend=f"sudo {rdctl_again(site, 'doctor')}",
        )


def _userland(site: Site) -> Iterator[Finding]:
    """Debian's 9.0.0: its hardening breaks every value that it reads from sysfs."""
    version = site.rapiddisk.surroundings().package
    if version is None:
        yield Finding.ok("Debian's package rapiddisk is not installed (optional)")
    elif version.partition("-")[0] == "9.0.0":
        yield Finding.warning(
            f"Debian's package rapiddisk {version} is broken",
            subject=version,
            why="It shows every size as 0, and removes volumes that are in use by a cache. rdctl"
            " does not need it; the kernel modules are in a separate package.",
            mend=as_root(site, "apt-get remove rapiddisk"),
        )
    else:
        yield Finding.ok(f"Debian's package rapiddisk {version} is installed")


def _unit(site: Site) -> Iterator[Finding]:
    unit = site.rapiddisk.daemon.status().value
    if not unit.installed:
        yield Finding.ok("rapiddiskd is not installed; local mode does not need it")
    elif unit.state == "failed":
        yield Finding.warning("rapiddiskd has failed", why="See its log: journalctl -u rapiddiskd")
    else:
        boot = "started at boot" if unit.enabled else "not started at boot"
        yield Finding.ok(f"rapiddiskd is {unit.state}, {boot}")


def _listeners(site: Site) -> Iterator[Finding]:
    from rdctl.rapiddisk.model import DAEMON_PORT

    found = site.rapiddisk.surroundings().listeners
    wide = [address for address in found if not is_here(_url(address))]
    if wide:
        yield Finding.warning(
            f"port {DAEMON_PORT} is open to other machines, on {', '.join(wide)}",
            why="rapiddiskd does not authenticate clients: any host that can reach the port can"
            " remove every volume. If it is needed, restrict access with a firewall.",
            mend=on_this_machine(site, "rapiddisk daemon stop"),
        )
    elif found:
        yield Finding.ok(f"port {DAEMON_PORT} is open to this machine only")
    else:
        yield Finding.ok(f"nothing listens on port {DAEMON_PORT}")


def _url(address: str) -> str:
    return f"http://[{address}]" if ":" in address else f"http://{address}"


def _daemon(site: Site) -> Iterator[Finding]:
    """A remote daemon. Debian's 9.0.0 is recognized by what it lacks."""
    url = site.settings.get("rapiddisk")
    begun = time.perf_counter()
    try:
        status = site.rapiddisk.status().value
    except RdctlError as error:
        mend = None
        if (
            error.code is Code.UNREACHABLE
            and is_here(url)
            and not site.settings.in_sandbox("rapiddisk")
        ):
            mend = "rdctl --local rapiddisk daemon start"
        yield found_by(site, error)._replace(mend=mend)
        return
    answered = f"rapiddiskd {status.version} answers{after(site, begun)}"
    if status.status != "OK":
        yield Finding.error(f"rapiddiskd reports its status as {status.status}", subject=url)
    version = numbers(status.version)
    if wrong := misread(site.rapiddisk.volumes.list(None)):
        yield Finding.error(
            f"{', '.join(wrong)} of 0 bytes: {OLDER_DAEMON}",
            subject=url,
            why="It sends a size where that module expects the number of a volume.",
            mend=rdctl_again(site, f"rapiddisk remove {' '.join(wrong)}"),
        )
    if version and version < (9,):
        yield Finding.warning(
            f"rapiddiskd {status.version} passes requests to a root shell",
            subject=url,
            why="Any host that can reach its port can become root there. It supports neither locks"
            " nor usage. Upgrade to 9.1 or later.",
        )
    elif _is_debian(site):
        yield Finding.warning(
            f"rapiddiskd {status.version} is Debian's, which is broken",
            subject=url,
            why="It shows every size as 0, and removes volumes that are in use by a cache. Fixed in"
            " 9.1 or later, with the same kernel modules.",
        )
    else:
        yield Finding.ok(answered, subject=url)


def _is_debian(site: Site) -> bool:
    volumes, disks = site.rapiddisk.volumes.list(None), site.rapiddisk.resources().value.disks
    return any(thing.size is None for thing in [*volumes, *disks])


def _exposure(site: Site) -> Iterator[Finding]:
    """Of a remote daemon: what its address shows."""
    url = site.settings.get("rapiddisk")
    if site.settings.in_sandbox("rapiddisk"):
        yield Finding.skipped("not applicable: the sandbox listens on no port")
    elif is_here(url):
        yield Finding.ok(f"{url} is an address of this machine")
    elif site.settings.credential("token_file", "rapiddisk") is None:
        yield Finding.warning(
            f"{url} is used without a token",
            subject=url,
            why="rapiddiskd does not authenticate clients: any host that can reach its port can"
            " remove every volume. Restrict access with a firewall, or a gateway with TLS and a"
            " token.",
        )
    elif url.startswith("http:"):
        yield in_the_clear(url)
    else:
        yield Finding.ok("encrypted (TLS), with a token")


def _caches(site: Site) -> Iterator[Finding]:
    from rdctl.rapiddisk.names import is_cache_name

    here = site.settings.is_local
    volumes = {volume.device for volume in site.rapiddisk.volumes.list(None)}
    caches: list[Cache] = list(site.rapiddisk.caches.list())

    def found() -> Iterator[Finding]:
        for cache in caches:
            if cache.volume is None and here:
                yield Finding.error(
                    f"{cache.device} is incomplete",
                    subject=cache.device,
                    mend=on_this_machine(site, f"rapiddisk cache remove {operand(cache.device)}"),
                )
            elif cache.volume is not None and cache.volume not in volumes:
                yield _torn(site, cache, here)
            elif cache.policy == "writeback" and is_cache_name(cache.device):
                yield from _unwritten(site, cache, here)

    fine = f"{count(caches, 'cache')}, nothing to write back" if caches else "no caches"
    yield from unless_any(found(), fine)


def _torn(site: Site, cache: Cache, here: bool) -> Finding:
    """A cache without its volume; a write-back cache cannot be written back then."""
    lost = cache.policy == "writeback"
    if not lost:
        remove = f"rapiddisk cache remove {operand(cache.device)}"
        mend: str | None = on_this_machine(site, remove) if here else rdctl_again(site, remove)
    else:
        mend = as_root(site, f"dmsetup remove {quoted(cache.device)}") if here else None
    return Finding.error(
        f"{cache.device}: its volume {cache.volume} is gone",
        subject=cache.device,
        why=f"Data not written back to {cache.source} are lost." if lost else None,
        mend=mend,
    )


def _unwritten(site: Site, cache: Cache, here: bool) -> Iterator[Finding]:
    """A write-back cache that holds blocks; how many of them are dirty is not reported."""
    keys = ["errors", "num_blocks", "num_free_blocks"]
    try:
        (counters,) = site.rapiddisk.caches.stats([cache.device], keys)
    except RdctlError as error:
        if error.code is not Code.DENIED or not here:
            raise
        yield Finding.skipped(
            f"{cache.device}: only root can see its unwritten data",
            subject=cache.device,
            mend=f"sudo {rdctl_again(site, 'doctor')}",
        )
        return
    if counters["errors"]:
        yield _torn(site, cache, here)._replace(message=f"{cache.device} has failed")
        return
    blocks = int(counters["num_blocks"] or 0) - int(counters["num_free_blocks"] or 0)
    if blocks > 0:
        sync = f"rapiddisk cache sync {operand(cache.device)}"
        yield Finding.warning(
            f"{cache.device} holds {human_size(blocks * _BLOCK)}, not all of it written back to"
            f" {cache.source or 'its source'}",
            subject=cache.device,
            why="A power failure or a crash loses data that are not written back."
            + ("" if here else f" On that machine: rdctl --local {sync}"),
            mend=on_this_machine(site, sync) if here else None,
        )


def _memory(site: Site) -> Iterator[Finding]:
    words = site.rapiddisk.volumes.shortage()
    if words is None:
        yield Finding.ok("enough for the volumes, even if they fill up")
    else:
        yield Finding.warning(words, why="When volumes fill up, the kernel kills processes.")


def _exports(site: Site) -> Iterator[Finding]:
    here = site.settings.is_local
    try:
        targets = list(site.rapiddisk.exports.list(here))
    except RdctlError as error:
        if error.code is not Code.MODULE_MISSING or "not loaded" not in error.message:
            raise
        yield Finding.skipped("not checked: the kernel module nvmet is not loaded")
        return
    from rdctl.doctor.exposure import exposures, readable_keys
    from rdctl.rapiddisk.names import at_path

    things = [*site.rapiddisk.volumes.list(None), *site.rapiddisk.caches.list()]
    names = {thing.device for thing in things}

    def found() -> Iterator[Finding]:
        for target in targets:
            yield from _export(site, target, names, here)
        ports = list(site.rapiddisk.ports.list()) if here else []
        for port in ports:
            if port.transport is None:
                yield Finding.warning(
                    f"port {port.port} is incomplete",
                    subject=str(port.port),
                    mend=on_this_machine(site, f"rapiddisk nvmet port remove {port.port}"),
                )
        if here:
            ours = [target for target in targets if at_path(target.device) in names]
            yield from exposures(site, ports, ours)
            yield from readable_keys(site)

    fine = f"{count(targets, 'export')}, no problems found" if targets else "no exports"
    yield from unless_any(found(), fine)


def _export(site: Site, target: Target, names: set[str], here: bool) -> Iterator[Finding]:
    from rdctl.rapiddisk.names import at_path, is_own_nqn
    from rdctl.rapiddisk.reach import EVERYWHERE

    ours = at_path(target.device)
    unexport = f"rapiddisk nvmet unexport --nqn {quoted(target.nqn)}"
    there = None if here else f"On that machine: rdctl --local {unexport}"
    mend = on_this_machine(site, unexport) if here else None
    if ours and ours not in names:
        yield Finding.error(
            f"{target.nqn} exports {target.device}, which is gone",
            subject=target.nqn,
            why=there or "Its clients see a failed disk, even if a new volume gets the same name.",
            mend=mend,
        )
    elif ours or target.namespace is None or is_own_nqn(target.nqn):
        fault = _fault(target)
        if fault is not None:
            message = f"{target.nqn} is incomplete: {fault}"
            yield Finding.warning(message, subject=target.nqn, why=there, mend=mend)
        elif target.any_host and any(port.address in EVERYWHERE for port in target.ports):
            yield Finding.warning(
                f"{target.nqn} is open to every host on every address",
                subject=target.nqn,
                why="To restrict it, unexport it, then export it with --host.",
                mend=mend,
            )


def _fault(target: Target) -> str | None:
    """What an export lacks; None where nothing is known to be missing."""
    if target.namespace is None:
        return "no namespace"
    if target.enabled is False:
        return "not enabled"
    return None if target.ports else "no port"


def _clock(site: Site) -> Iterator[Finding]:
    yield compared(site.rapiddisk.server_time, "the clock of the daemon")


_LOCALLY = (
    Check("modules", _modules),
    Check("configfs", _configfs),
    Check("devices", _devices),
    Check("root", _root),
    Check("userland", _userland),
    Check("daemon", _unit),
    Check("exposure", _listeners),
    Check("memory", _memory),
    Check("caches", _caches),
    Check("exports", _exports),
    *boot.CHECKS,
)
_FRAGILE = "listing exports can crash rapiddiskd 9.2 (use --deep)"
_REMOTELY = (
    Check("daemon", _daemon),
    Check("exposure", _exposure),
    Check("memory", _memory),
    Check("caches", _caches),
    Check("exports", _exports, _FRAGILE),
    Check("clock", _clock),
)


def checks(site: Site) -> tuple[Check, ...]:
    """Those that apply to what is configured."""
    url = site.settings.get("rapiddisk")
    if url is None:
        return (Check("rapiddisk", _no_rapiddisk),)
    if site.settings.over_ssh:
        return ()  # made by rdctl there
    return _LOCALLY if site.settings.is_local else _REMOTELY
