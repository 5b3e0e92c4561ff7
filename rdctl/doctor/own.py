"""rdctl itself: what it runs on, its configuration, where its commands go."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rdctl.config.contexts import CREDENTIALS, LOCAL, REQUIRED, SYSTEM_FILE, required_audit
from rdctl.config.resolve import VARIABLES
from rdctl.core import libraries
from rdctl.core.floors import FLOORS
from rdctl.core.units import quoted
from rdctl.doctor.findings import Check, Finding
from rdctl.effects.log import unwritable

if TYPE_CHECKING:
    from rdctl.sites import Site


def _python(site: Site) -> Iterator[Finding]:
    # An older one does not come this far.
    yield Finding.ok(f"Python {sys.version.split()[0]}")


def _libraries(site: Site) -> Iterator[Finding]:
    fine = []
    for name in FLOORS:
        found = libraries.examined(name)
        if isinstance(found, str):
            fine.append(f"{name} {found}".strip())
        else:
            mend, why = libraries.command([found]), libraries.ADVICE
            yield Finding.error(found.message, subject=name, mend=mend, why=None if mend else why)
    if fine:
        yield Finding.ok(", ".join(fine))


def _config(site: Site) -> Iterator[Finding]:
    """The file, and the files that its contexts name: present, readable, and private."""
    config = site.config
    used = [file for file in config.files if os.path.exists(file)]
    for file in used:
        yield from _exposed(file, config.path)
    for context in config.contexts.values():
        for key in (*CREDENTIALS, "ca"):
            path = context.values.get(key)
            if path is not None:
                yield from _named_file(context.name, key, config.expanded(path))
        if not context.values.keys() & {"rapiddisk", "oio"}:
            yield Finding.warning(
                f'context "{context.name}" has neither a RapidDisk nor an OpenIO endpoint',
                subject=context.name,
                mend=f"rdctl context remove {context.name}",
            )
    if config.current is not None and config.current not in config.contexts:
        yield Finding.warning(
            f'the current context "{config.current}" does not exist',
            subject=config.current,
            why="Commands without --context are refused.",
            mend=f"rdctl context use {site.settings.context}",
        )
    if used:
        yield Finding.ok(f"read {', '.join(used)}")
    else:
        yield Finding.ok("no configuration file (optional)", subject=config.path)


def _exposed(file: str, own: str) -> Iterator[Finding]:
    """A system-wide file may be readable by all users; neither file may be writable by others."""
    mode = os.stat(file).st_mode
    if mode & 0o022:
        yield Finding.error(
            f"{file} is writable by other users",
            subject=file,
            why="Anyone who can write it can redirect commands and tokens.",
            mend=f"chmod go-w {quoted(file)}",
        )
    elif mode & 0o077 and file == own:
        yield Finding.warning(
            f"{file} is readable by other users", subject=file, mend=f"chmod 600 {quoted(file)}"
        )


def _named_file(context: str, key: str, path: str) -> Iterator[Finding]:
    subject = f"{context} {key}"
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        yield Finding.error(
            f'context "{context}": {key} {path} cannot be read: {error.strerror}',
            subject=subject,
            why=f"Restore the file, or remove the setting: rdctl context set {context} {key}=",
        )
        return
    if key in ("token_file", "key") and mode & 0o077:
        yield Finding.warning(
            f'context "{context}": {key} {path} is readable by other users',
            subject=subject,
            why="Anyone who can read it has your permissions.",
            mend=f"chmod 600 {quoted(path)}",
        )


def _context(site: Site) -> Iterator[Finding]:
    """Where commands go, and which variables of the environment are ignored."""
    settings = site.settings
    for endpoint, name in (("rapiddisk", "RapidDisk"), ("oio", "OpenIO")):
        setting = settings.values.get(endpoint)
        if setting is None:
            continue
        for key in CREDENTIALS if setting.value != LOCAL else ():
            if key in settings.values and settings.credential(key, endpoint) is None:
                yield Finding.warning(
                    f"{key} of {settings.values[key].origin} is not sent to {setting.value}",
                    subject=endpoint,
                    why="It is sent only to an endpoint from the same source;"
                    f" {endpoint} is from {setting.origin}.",
                )
        protected = ", protected" if settings.get("protected") else ""
        origin = "by default" if setting.origin == "default" else f"from {setting.origin}"
        yield Finding.ok(f"{name} at {setting.value}, {origin}{protected}", subject=endpoint)
    if not site.in_sandbox:
        yield from _unheard(site)


def _unheard(site: Site) -> Iterator[Finding]:
    """Variables that a context hides; one that an option overrides is hidden on purpose."""
    for key, variables in VARIABLES.items():
        held = site.settings.values.get(key)
        for variable in variables:
            text = site.config.environ.get(variable)
            if not text or (held is not None and held.source in ("flags", "variables")):
                continue
            where = f"{key} is not set" if held is None else f"{key} is from {held.origin}"
            if held is None or str(held.value) != text:
                yield Finding.warning(
                    f"{variable} is set, but not used: {where}",
                    subject=variable,
                    why="The selected context replaces all variables. If it is not needed:",
                    mend=f"unset {variable}",
                )


def _history(site: Site) -> Iterator[Finding]:
    """Whether the next change can be kept in the history; nothing is written."""
    if site.settings.in_sandbox("rapiddisk"):
        yield Finding.skipped("the sandbox has its own history")
        return
    path = site.history.place.path
    required = required_audit(site.root)
    if (reason := unwritable(path)) is None:
        yield Finding.ok(f"kept in {path}{', as required' if required else ''}", subject=path)
    elif required:
        yield Finding.error(
            f"{path} cannot be written: {reason}",
            subject=path,
            why=f'All changes fail: audit = "{REQUIRED}" in /{SYSTEM_FILE}.',
        )
    else:
        yield Finding.warning(
            f"{path} cannot be written: {reason}",
            subject=path,
            why="Changes are made without being recorded.",
        )


CHECKS = (
    Check("python", _python),
    Check("libraries", _libraries),
    Check("config", _config),
    Check("context", _context),
    Check("history", _history),
)
