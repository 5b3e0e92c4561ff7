"""What a reboot of this machine brings back, and what a shutdown may lose."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import human_size
from rdctl.doctor.findings import (
    ERROR,
    Check,
    Finding,
    as_root,
    found_by,
    on_this_machine,
    unless_any,
)

if TYPE_CHECKING:
    from rdctl.rapiddisk.boot.model import BootStatus
    from rdctl.rapiddisk.kernel.surroundings import FstabLine
    from rdctl.rapiddisk.state.model import State
    from rdctl.sites import Site

_ENABLE, _DISABLE = "rapiddisk boot enable", "rapiddisk boot disable"


def _boot(site: Site) -> Iterator[Finding]:
    state, problem = _state(site)
    if problem is not None and problem.code is not Code.NOT_FOUND:
        yield found_by(site, problem)._replace(severity=ERROR)
    yield from _unlisted(site, state)
    status = site.rapiddisk.boot.examine(partial(_given, state, problem), site.program)
    if status.status == "disabled" and state is None:
        yield Finding.ok("nothing is restored at boot: no state file")
    elif status.status == "disabled":
        yield Finding.skipped(
            "the state file is not applied at boot", mend=on_this_machine(site, _ENABLE)
        )
    else:
        yield from unless_any(
            _units(site, status, state), "the state file is applied at boot; all files up to date"
        )
    for risk in status.warnings:
        mend = None if risk.mend is None else as_root(site, risk.mend)
        yield Finding.warning(risk.message, why=risk.why, mend=mend)


def _state(site: Site) -> tuple[State | None, RdctlError | None]:
    from rdctl.rapiddisk.state.files import machine_state

    try:
        return machine_state(site.root), None
    except RdctlError as error:
        return None, error


def _given(state: State | None, problem: RdctlError | None) -> State:
    if state is not None:
        return state
    raise problem or RdctlError(Code.NOT_FOUND, "state file not found")


def _units(site: Site, status: BootStatus, state: State | None) -> Iterator[Finding]:
    """What is wrong with units that are enabled at least in part."""
    if state is None:
        yield Finding.warning(
            "the units are enabled, but no valid state file exists to restore",
            why="Create the state file: rdctl rapiddisk dump --save",
            mend=on_this_machine(site, _DISABLE),
        )
        return
    for file in status.files:
        if file.state == "edited by hand":
            yield Finding.warning(
                f"{file.path} was edited by hand",
                subject=file.path,
                why="rdctl does not update it. Remove it, then run: rdctl rapiddisk boot enable",
            )
        elif file.state != "up to date":
            yield Finding.warning(
                f"{file.path} is {file.state}",
                subject=file.path,
                mend=on_this_machine(site, _ENABLE),
            )
    for unit in status.units:
        if not unit.enabled:
            yield Finding.warning(
                f"{unit.unit} is not enabled",
                subject=unit.unit,
                mend=on_this_machine(site, _ENABLE),
            )


def _unlisted(site: Site, state: State | None) -> Iterator[Finding]:
    """Write-back caches that a reboot does not bring back."""
    named = {cache.name for cache in state.caches} if state else set()
    for cache in site.rapiddisk.caches.list():
        if cache.policy == "writeback" and cache.device not in named:
            size = f" ({human_size(cache.dirty)} are dirty now)" if cache.dirty else ""
            yield Finding.skipped(
                f"{cache.device} is not in the state file: a reboot removes it{size}",
                subject=cache.device,
                why="An ordinary shutdown writes it back first; its source is complete then.",
            )


# --- mounts -------------------------------------------------------------------------------------

_REQUIRES = "x-systemd.requires=rdctl-caches.service"
# Required, it is not mounted without its contents; after it, it is unmounted before they are saved.
_AFTER = ("x-systemd.requires=rdctl-images.service", "x-systemd.after=rdctl-images.service")


def _mounts(site: Site) -> Iterator[Finding]:
    here = site.rapiddisk.surroundings()
    state, _ = _state(site)
    kept = {volume.name for volume in state.volumes if volume.image} if state else set()

    def found() -> Iterator[Finding]:
        if here.cache_below_root:
            yield Finding.error(
                f"the root file system is on cache {here.cache_below_root}, which is not supported",
                subject=here.cache_below_root,
                why="It is never unmounted, so a shutdown cannot write the cache back in time, and"
                " rdctl cannot restore it before the root file system is mounted.",
            )
        for line in here.fstab:
            if "noauto" in line.options:
                continue
            if lacking := _lacking(line, kept):
                yield _incomplete(line, lacking)
            if line.device in kept and line.words[5:] not in ([], ["0"]):
                yield _checked_too_early(line)

    yield from unless_any(found(), "no problems found in /etc/fstab")


def _lacking(line: FstabLine, kept: Collection[str]) -> list[str]:
    """The options that a file system on RapidDisk needs, and that the line lacks; volumes that are
    `kept` have an image."""
    from rdctl.rapiddisk.names import is_volume, policy_of

    if policy_of(line.device):
        needed = ["nofail", _REQUIRES]
    elif line.device in kept:
        needed = ["nofail", *_AFTER]
    else:
        needed = ["nofail"] if is_volume(line.device) else []
    return [option for option in needed if option not in line.options]


def _incomplete(line: FstabLine, lacking: list[str]) -> Finding:
    options = [option for option in line.options if option != "defaults"] + lacking
    words = [*line.words[:3], ",".join(options), *line.words[4:]]
    if len(line.words) < 3:
        words.insert(2, "auto")
    why = "Without nofail, the boot stops when the device is missing."
    if _REQUIRES in lacking:
        why = "The disk may be mounted without its cache, or a missing cache may stop the boot."
    elif set(_AFTER) & set(lacking):
        why = "It may be mounted before its image is loaded, or still be in use when it is saved."
    return Finding.warning(
        f"/etc/fstab, line {line.number}: {line.place} on {line.device} lacks {', '.join(lacking)}",
        subject=line.place,
        why=f"{why} Replace the line with: {' '.join(words)}",
    )


def _checked_too_early(line: FstabLine) -> Finding:
    return Finding.warning(
        f"/etc/fstab, line {line.number}: {line.place} on {line.device} is checked by fsck before"
        " its image is loaded",
        subject=line.place,
        why="systemd checks it as soon as the volume exists. End the line with: 0 0",
    )


CHECKS = (Check("boot", _boot), Check("mounts", _mounts))
