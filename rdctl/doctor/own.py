"""rdctl itself: what it runs on, its configuration, where it goes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rdctl.config.contexts import CREDENTIALS, LOCAL
from rdctl.config.resolve import VARIABLES
from rdctl.core.units import quoted
from rdctl.doctor.findings import Check, Finding, numbers

if TYPE_CHECKING:
    from rdctl.sites import Site


def _python(site: Site) -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, metadata

    version = sys.version.split()[0]
    try:
        needed = str(metadata("rdctl")["Requires-Python"])
    except PackageNotFoundError:
        needed = ""
    if numbers(version) < numbers(needed):
        yield Finding.error(f"Python {version}, and rdctl needs {needed}", why=sys.executable)
    else:
        yield Finding.ok(f"Python {version}")


def _libraries(site: Site) -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, requires, version

    try:
        needed = [line for line in requires("rdctl") or [] if ";" not in line]
    except PackageNotFoundError:
        yield Finding.skipped("what rdctl needs is not known: it is no installed package")
        return
    there = []
    for line in needed:
        name = re.split(r"[^A-Za-z0-9._-]", line)[0]
        least = re.search(r">=\s*([0-9.]+)", line)
        mend = f"{quoted(sys.executable)} -m pip install {quoted(line)}"
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding.error(f"{name} is not installed", subject=name, mend=mend)
            continue
        if least and numbers(found) < numbers(least[1]):
            yield Finding.error(f"{name} {found} is older than {least[1]}", subject=name, mend=mend)
        else:
            there.append(f"{name} {found}")
    yield Finding.ok(", ".join(there))


def _config(site: Site) -> Iterator[Finding]:
    """The file, and the files that its contexts name: there, readable, and nobody else's."""
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
                f"the context {context.name} names neither a rapiddiskd nor an oio-proxy",
                subject=context.name,
                mend=f"rdctl context remove {context.name}",
            )
    if config.current is not None and config.current not in config.contexts:
        yield Finding.warning(
            f"the current context {config.current!r} does not exist",
            subject=config.current,
            why="Every command that names no other is refused.",
            mend=f"rdctl context use {site.settings.context}",
        )
    if used:
        yield Finding.ok(", ".join(used))
    else:
        yield Finding.ok("there is none yet, and none is needed", subject=config.path)


def _exposed(file: str, own: str) -> Iterator[Finding]:
    """A file of the machine may be read by everybody; nobody may write to either."""
    mode = os.stat(file).st_mode
    if mode & 0o022:
        yield Finding.error(
            f"{file} can be written by others",
            subject=file,
            why="Who writes it decides where commands and tokens go.",
            mend=f"chmod go-w {quoted(file)}",
        )
    elif mode & 0o077 and file == own:
        yield Finding.warning(
            f"{file} can be read by others", subject=file, mend=f"chmod 600 {quoted(file)}"
        )


def _named_file(context: str, key: str, path: str) -> Iterator[Finding]:
    subject = f"{context} {key}"
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        yield Finding.error(
            f"{key} of the context {context}: {path} cannot be read: {error.strerror}",
            subject=subject,
            why=f"To do without it: rdctl context set {context} {key}=",
        )
        return
    if key in ("token_file", "key") and mode & 0o077:
        yield Finding.warning(
            f"{key} of the context {context}: {path} is not for its owner's eyes only",
            subject=subject,
            why="Who reads it can do what you can.",
            mend=f"chmod 600 {quoted(path)}",
        )


def _context(site: Site) -> Iterator[Finding]:
    """Where commands go, and what of the environment is not listened to."""
    settings = site.settings
    for endpoint in ("rapiddisk", "oio"):
        setting = settings.values.get(endpoint)
        if setting is None:
            continue
        for key in CREDENTIALS if setting.value != LOCAL else ():
            if key in settings.values and settings.credential(key, endpoint) is None:
                yield Finding.warning(
                    f"{key} of {settings.values[key].origin} is not sent to {setting.value}",
                    subject=endpoint,
                    why=f"It goes only where its own source sends it; {endpoint} is from"
                    f" {setting.origin}.",
                )
        protected = ", protected" if settings.get("protected") else ""
        origin = "the default" if setting.origin == "default" else setting.origin
        yield Finding.ok(f"{endpoint} {setting.value}, {origin}{protected}", subject=endpoint)
    if not site.in_sandbox:
        yield from _unheard(site)


def _unheard(site: Site) -> Iterator[Finding]:
    """Variables that a context hides; what an option overrides was meant so."""
    for key, variables in VARIABLES.items():
        held = site.settings.values.get(key)
        for variable in variables:
            text = site.config.environ.get(variable)
            if not text or (held is not None and held.source in ("flags", "variables")):
                continue
            where = "no setting" if held is None else f"{key} is from {held.origin}"
            if held is None or str(held.value) != text:
                yield Finding.warning(
                    f"{variable} is set, and not used: {where}",
                    subject=variable,
                    why="A context that is named is taken whole.",
                    mend=f"unset {variable}",
                )


CHECKS = (
    Check("python", _python),
    Check("libraries", _libraries),
    Check("config", _config),
    Check("context", _context),
)
