"""The settings in effect, and the source of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rdctl.config.contexts import (
    ENDPOINTS,
    KEYS,
    LOCAL,
    SANDBOX,
    SIMULATED,
    SSH,
    Config,
    Context,
    as_number,
    checked,
)
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, quoted

_FLAG_NAMES = {
    "rapiddisk": "--rapiddisk-url",
    "oio": "--oio-url",
    "namespace": "--namespace",
    "account": "--account",
    "timeout": "--timeout",
}
VARIABLES = {
    "rapiddisk": ("RDCTL_RAPIDDISK_URL",),
    "oio": ("RDCTL_OIO_URL", "OIO_PROXYD_URL"),
    "namespace": ("RDCTL_NAMESPACE", "OIO_NS"),
    "account": ("RDCTL_ACCOUNT", "OIO_ACCOUNT"),
    "timeout": ("RDCTL_TIMEOUT",),
    "token_file": ("RDCTL_TOKEN_FILE",),
    "ca": ("RDCTL_CA",),
    "cert": ("RDCTL_CERT",),
    "key": ("RDCTL_KEY",),
    "http_proxy": ("RDCTL_HTTP_PROXY",),
    "events": ("RDCTL_EVENTS",),
    "dialect": ("RDCTL_DIALECT",),
    "remote_command": ("RDCTL_REMOTE_COMMAND",),
}


class Setting(NamedTuple):
    """A value, its source as text, and the source itself (which decides on credentials)."""

    value: Any
    origin: str
    source: str


class Settings(NamedTuple):
    """The settings of one command. `explicit`: the command line itself names the context; `how`:
    what names it, `-c`, a variable or `current`."""

    context: str | None
    values: dict[str, Setting]
    explicit: bool
    how: str | None
    # The options that lead here from another machine, where the command was typed.
    place: str | None = None

    def get(self, key: str) -> Any:
        setting = self.values.get(key)
        return None if setting is None else setting.value

    def says_where(self, endpoint: str) -> bool:
        """Whether the command line itself selects this endpoint."""
        setting = self.values.get(endpoint)
        return self.explicit or (setting is not None and setting.source == "flags")

    @property
    def is_local(self) -> bool:
        """Whether RapidDisk is the kernel of this machine, or of a simulated one."""
        return self.get("rapiddisk") in (LOCAL, SIMULATED)

    @property
    def over_ssh(self) -> bool:
        """Whether RapidDisk is that of a machine on which rdctl runs over SSH."""
        return str(self.get("rapiddisk")).startswith(SSH)

    def in_sandbox(self, endpoint: str) -> bool:
        setting = self.values.get(endpoint)
        return setting is not None and setting.source == f"context {SANDBOX}"

    def credential(self, key: str, endpoint: str) -> str | None:
        """A credential if it comes from the same source as the endpoint, else None."""
        setting, of = self.values.get(key), self.values.get(endpoint)
        if setting is None or of is None or setting.source != of.source:
            return None
        return str(setting.value)

    def again(self, words: str) -> str:
        """An rdctl command with the options that address the same place."""
        if self.place is not None:
            return " ".join(["rdctl", *([self.place] if self.place else []), words])
        current = any(setting.origin.endswith("(current)") for setting in self.values.values())
        where = [f"-c {self.context}"] if self.context and not current else []
        for key in ("rapiddisk", "oio", "namespace", "account"):
            setting = self.values.get(key)
            if setting is not None and setting.source == "flags":
                where.append(setting.origin)
                where += [] if setting.value == LOCAL else [quoted(str(setting.value))]
        return " ".join(["rdctl", *where, words])

    def aimed(self, text: str) -> str:
        """The text, with the options that address the same place added to rdctl commands."""
        return _OURS.sub(lambda _: self.again(""), text)

    def aim(self, error: RdctlError) -> RdctlError:
        """The error, with such options added to the commands in its hint."""
        if error.hint is not None:
            error.hint = self.aimed(error.hint)
        return error


# A command that addresses a system or shows its settings, up to its noun.
_OURS = re.compile(r"\brdctl (?=(?:rapiddisk|oio|history|context show)\b)")


# --- resolution -------------------------------------------------------------------------------


def resolve(config: Config, flags: Mapping[str, Any]) -> Settings:
    """The settings in effect, each from the first of: the option; the selected context as a whole;
    variables; the current context; the default."""
    environ = config.environ
    named = flags.get("context") or environ.get("RDCTL_CONTEXT") or None
    how = "-c" if flags.get("context") else "RDCTL_CONTEXT"
    typed = _flag_settings(flags)
    goes_elsewhere = any(key in typed for key in ENDPOINTS)
    current = config.current
    layers: list[dict[str, Setting]] = [typed]
    if not named and current == SANDBOX:
        current = None
        if goes_elsewhere:
            # The option selects another system; the other endpoint remains the sandbox, with all
            # its settings.
            origin = "context sandbox (current)"
            inside = _context_settings(config, config.context(SANDBOX), origin)
            away = _OF_OIO if "oio" in typed else ("rapiddisk",)
            layers.append({key: value for key, value in inside.items() if key not in away})
        else:
            named, how = SANDBOX, "current"
    if named:
        context = config.context(named)
        layers.append(_context_settings(config, context, f"context {named} ({how})"))
        layers.append(_variable_settings(environ, ["timeout"]))
        if named == SANDBOX and goes_elsewhere:
            option = next(typed[key].origin for key in ENDPOINTS if key in typed)
            omit = "Omit -c sandbox" if how == "-c" else f"Unset {how}"
            raise RdctlError(
                Code.USAGE,
                f"{option} cannot be used with context sandbox ({how}): it has its own endpoints",
                hint=f"{omit}, or omit {option}.",
            )
    else:
        layers.append(_variable_settings(environ, VARIABLES))
        if current:
            if current not in config.contexts:
                raise RdctlError(
                    Code.CONFIG,
                    f'current context "{defuse(current)}" not found',
                    hint=f"Existing contexts: {', '.join(sorted(config.contexts))}."
                    "\nSwitch to one: rdctl context use NAME",
                )
            context = config.contexts[current]
            layers.append(_context_settings(config, context, f"context {current} (current)"))
            named, how = current, "current"
        layers.append({"rapiddisk": Setting(LOCAL, "default", "default")})
    values: dict[str, Setting] = {}
    for layer in layers:
        for key, setting in layer.items():
            values.setdefault(key, setting)
    return Settings(named, values, bool(flags.get("context")), how if named else None)


_OF_OIO = ("oio", "namespace", "account", "events", "dialect")


def several(config: Config, flags: Mapping[str, Any]) -> dict[str, bool] | None:
    """The contexts if -c or RDCTL_CONTEXT selects several, with commas or a pattern (`rack1-*`).
    The values are true for those named by -c, not by a pattern. None if it names at most one.
    """
    named: str = flags.get("context") or config.environ.get("RDCTL_CONTEXT") or ""
    if not any(char in named for char in ",*?["):
        return None
    found: dict[str, bool] = {}
    for word in filter(None, named.split(",")):
        if any(char in word for char in "*?["):
            for name in config.matching(word):
                found.setdefault(name, False)
        else:
            found[config.context(word).name] = bool(flags.get("context"))
    if not found:
        raise RdctlError(Code.USAGE, f'no context selected by "{defuse(named)}"')
    if flags.get("local") or any(flags.get(name) for name in ENDPOINTS.values()):
        raise RdctlError(
            Code.USAGE,
            "--local and URLs cannot be used with several contexts",
            hint="Select one context, or omit the endpoint.",
        )
    return found


def _flag_settings(flags: Mapping[str, Any]) -> dict[str, Setting]:
    if flags.get("local") and flags.get("rapiddisk_url"):
        raise RdctlError(Code.USAGE, "--local and --rapiddisk-url are mutually exclusive")
    settings = {}
    for key, name in _FLAG_NAMES.items():
        value = flags.get(ENDPOINTS.get(key, key))
        if value is not None:
            try:
                settings[key] = Setting(checked(key, value), name, "flags")
            except ValueError as error:
                raise RdctlError(Code.USAGE, f"{name}: {error}") from error
    if flags.get("local"):
        settings["rapiddisk"] = Setting(LOCAL, "--local", "flags")
    return settings


def _variable_settings(environ: Mapping[str, str], keys: Iterable[str]) -> dict[str, Setting]:
    settings = {}
    for key in keys:
        for variable in VARIABLES[key]:
            text = environ.get(variable)
            if not text:
                continue
            try:
                value: Any = as_number(text) if KEYS[key][0] is float else text
                value = checked(key, value)
            except ValueError as error:
                raise RdctlError(Code.CONFIG, f"{variable}: {error}") from error
            settings[key] = Setting(value, variable, "variables")
            break
    return settings


def _context_settings(config: Config, context: Context, origin: str) -> dict[str, Setting]:
    settings = {}
    for key, value in context.values.items():
        if KEYS[key][0] is str and key in ("token_file", "ca", "cert", "key"):
            value = config.expanded(value)
        settings[key] = Setting(value, origin, f"context {context.name}")
    return settings


_MOST_DIGITS = 18


def retries_of(flags: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    """The number of retries for reads."""
    typed: int | None = flags.get("retries")
    text = environ.get("RDCTL_RETRIES")
    if typed is not None or not text:
        return 2 if typed is None else typed
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise RdctlError(
            Code.CONFIG, f'invalid RDCTL_RETRIES "{defuse(text)}": must be a whole number'
        )
    return int(text)
