"""Settings and contexts: where each value comes from, and the file that holds the contexts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.core.environment import read_in_time
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, guess, natural, quoted, without_password

SANDBOX = "sandbox"
LOCAL = "local"
SYSTEM_FILE = "etc/rdctl/config.toml"
DIALECTS = ("auto", "4.2", "3.3", "reference")

# The keys of a context: their type, and what they mean.
KEYS: dict[str, tuple[type, str]] = {
    "rapiddisk": (str, "`local`, or the address of a rapiddiskd: http://HOST:9118"),
    "oio": (str, "address of an oio-proxy: http://HOST:6002"),
    "namespace": (str, "namespace of OpenIO SDS"),
    "account": (str, "account of OpenIO SDS"),
    "protected": (bool, "--yes suffices only with -c, --local or a URL on the command line"),
    "timeout": (float, "seconds that a whole command may take"),
    "token_file": (str, "file that holds a bearer token"),
    "ca": (str, "file with the authority's certificate"),
    "cert": (str, "file with the client's certificate"),
    "key": (str, "file with the key of the client's certificate"),
    "http_proxy": (str, "address of an HTTP proxy"),
    "dialect": (str, "of the oio-proxy: auto, 4.2, 3.3 or reference"),
}
_ENDPOINTS = {"rapiddisk": "rapiddisk_url", "oio": "oio_url"}
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
    "dialect": ("RDCTL_DIALECT",),
}
# Whoever could read these is somebody: they go only where their own source sends them.
CREDENTIALS = ("token_file", "cert", "key")
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


class Context(NamedTuple):
    """A named set of settings; `file` is None for the one that is built in."""

    name: str
    values: dict[str, Any]
    file: str | None


class Setting(NamedTuple):
    """A value, the words that say where it is from, and the source itself (for the token rule)."""

    value: Any
    origin: str
    source: str


class Settings(NamedTuple):
    """What holds for one command. `explicit`: the command line itself names the context."""

    context: str | None
    values: dict[str, Setting]
    explicit: bool

    def get(self, key: str) -> Any:
        setting = self.values.get(key)
        return None if setting is None else setting.value

    def says_where(self, endpoint: str) -> bool:
        """Whether the command line itself says where it goes, if it goes to that endpoint."""
        setting = self.values.get(endpoint)
        return self.explicit or (setting is not None and setting.source == "flags")

    def in_sandbox(self, endpoint: str) -> bool:
        setting = self.values.get(endpoint)
        return setting is not None and setting.source == f"context {SANDBOX}"

    def credential(self, key: str, endpoint: str) -> str | None:
        """A credential, if it comes from the same source as the endpoint, else None."""
        setting, of = self.values.get(key), self.values.get(endpoint)
        if setting is None or of is None or setting.source != of.source:
            return None
        return str(setting.value)

    def again(self, words: str) -> str:
        """A command of ours as it has to be typed to reach the same place."""
        current = any(setting.origin.endswith("(current)") for setting in self.values.values())
        where = [f"-c {self.context}"] if self.context and not current else []
        for key in ("rapiddisk", "oio", "namespace", "account"):
            setting = self.values.get(key)
            if setting is not None and setting.source == "flags":
                where.append(setting.origin)
                where += [] if setting.value == LOCAL else [quoted(str(setting.value))]
        return " ".join(["rdctl", *where, words])

    def aimed(self, text: str) -> str:
        """The text; our commands in it as they have to be typed to reach the same place."""
        return _OURS.sub(lambda _: self.again(""), text)

    def aim(self, error: RdctlError) -> RdctlError:
        """The error with its hint aimed."""
        if error.hint is not None:
            error.hint = self.aimed(error.hint)
        return error


# A command that goes to a system or shows the way there, up to its noun.
_OURS = re.compile(r"\brdctl (?=(?:rapiddisk|oio|context show)\b)")


class Config:
    """The contexts of this user, over those of the machine. A file that is a pipe has so many
    `seconds`: it is read before its own timeout is known."""

    def __init__(
        self, environ: Mapping[str, str], root: str, home: str, seconds: float = 10.0
    ) -> None:
        self.environ = environ
        folder = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        self.path = environ.get("RDCTL_CONFIG") or os.path.join(folder, "rdctl", "config.toml")
        self.home = home
        self.current: str | None = None
        self.contexts: dict[str, Context] = {}
        # The machine's, and the user's own, whether they are there or not.
        self.files = (os.path.join(root, SYSTEM_FILE), self.path)
        for path in self.files:
            self._read(path, seconds)
        self.contexts[SANDBOX] = Context(
            SANDBOX,
            {
                "rapiddisk": "http://rapiddisk.sandbox",
                "oio": "http://oio.sandbox",
                "namespace": "OPENIO",
                "account": "sandbox",
            },
            None,
        )

    def expanded(self, path: str) -> str:
        """A path in a context, which may begin with `~/`."""
        return os.path.join(self.home, path[2:]) if path.startswith("~/") else path

    def context(self, name: str) -> Context:
        """The context of that name; `not-found` with a suggestion when there is none."""
        if name in self.contexts:
            return self.contexts[name]
        near = guess(name, self.contexts)
        raise self._not_there(f"there is no context '{defuse(name)}'", name, near)

    def matching(self, pattern: str) -> list[str]:
        """The contexts that a pattern matches; `not-found` when it is none. The sandbox is no
        system: it is meant only by its name."""
        from fnmatch import fnmatchcase

        matches = {name for name in self.contexts if fnmatchcase(name, pattern)} - {SANDBOX}
        if not matches:
            raise self._not_there(f"no context matches '{defuse(pattern)}'", pattern)
        return sorted(matches, key=natural)

    def _not_there(self, message: str, name: str, near: str = "") -> RdctlError:
        hint = f"The contexts are: {', '.join(sorted(self.contexts))}.{near}"
        return RdctlError(Code.NOT_FOUND, message, hint=hint, target=name)

    def _read(self, path: str, seconds: float) -> None:
        text = read_file(path, seconds)
        if text is None:
            return
        data = parse(text, path)
        self.current = data.get("current", self.current)
        for name, values in data.get("contexts", {}).items():
            self.contexts[name] = Context(name, values, path)


_MOST = 16 << 20  # bytes


def read_file(path: str, seconds: float) -> str | None:
    """The text of a config file, None when there is none. Raises `config`, `timeout`."""
    try:
        return read_in_time(path, seconds, _MOST).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise RdctlError(Code.CONFIG, f"{path} is not a text in UTF-8") from error
    except OSError as error:
        raise RdctlError(
            Code.CONFIG,
            f"{path} cannot be read: {error.strerror}",
            hint="RDCTL_CONFIG names another file.",
        ) from error


def parse(text: str, path: str) -> dict[str, Any]:
    """A config file's content, checked; every fault names file and line."""
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RdctlError(Code.CONFIG, f"{path}: {error}") from error
    except ValueError as error:  # Python reads no longer numbers
        long = re.search("[0-9_]{4000}", text)
        line = text.count("\n", 0, long.start()) + 1 if long else 1
        message = f"{path}, line {line}: a number has too many digits"
        raise RdctlError(Code.CONFIG, message) from error
    except RecursionError as error:
        raise RdctlError(Code.CONFIG, f"{path}: nested too deep") from error

    def at(*keys: str) -> str:
        return f"{path}, line {_line_of(text, keys)}"

    for key, value in data.items():
        if key == "current" and isinstance(value, str):
            continue
        if key != "contexts" or not isinstance(value, dict):
            raise _wrong(at(key), key, ("current", "contexts"), value)
    for name, values in data.get("contexts", {}).items():
        if name == SANDBOX or not re.fullmatch(_NAME, name):
            raise _bad_name(name, at("contexts", name))
        if not isinstance(values, dict):
            where = at("contexts", name)
            raise RdctlError(Code.CONFIG, f"{where}: contexts.{name} is not a table of settings")
        for key, value in values.items():
            if key not in KEYS:
                raise _wrong(at("contexts", name, key), key, KEYS, value)
            try:
                values[key] = _checked(key, value)
            except ValueError as error:
                where = at("contexts", name, key)
                raise RdctlError(Code.CONFIG, f"{where}: {key}: {error}") from error
    return data


def _bad_name(name: str, where: str | None = None) -> RdctlError:
    code, start = (Code.CONFIG, f"{where}: ") if where else (Code.USAGE, "")
    if name == SANDBOX:
        return RdctlError(
            code,
            f"{start}the context {SANDBOX!r} is built in and cannot be set",
            hint="Choose another name.",
        )
    return RdctlError(
        code,
        f"{start}'{defuse(name)}' cannot be the name of a context",
        hint="Letters, digits, dots, dashes and underscores, 64 at most, begin with a letter"
        " or a digit.",
    )


def _wrong(where: str, key: str, known: Any, value: Any) -> RdctlError:
    if key in known:
        message = f"{key} cannot be {json.dumps(value, default=str)}"
    else:
        message = f"unknown key {key!r}"
    return RdctlError(
        Code.CONFIG,
        f"{where}: {message}",
        hint=guess(key, known).lstrip() or f"The keys are: {', '.join(known)}.",
    )


def _line_of(text: str, keys: Sequence[str]) -> int:
    """The line on which the value of these keys ends, however the file is laid out: the first up
    to which the text is valid and holds it."""
    import tomllib

    lines = text.split("\n")
    for number in range(1, len(lines)):
        try:
            found: Any = tomllib.loads("\n".join(lines[:number]))
            for key in keys:
                found = found[key]
        except (tomllib.TOMLDecodeError, KeyError):
            continue
        return number
    return len(lines)


def _checked(key: str, value: Any) -> Any:
    """The value in its right type; ValueError says what it should be."""
    kind = KEYS[key][0]
    if kind is bool and not isinstance(value, bool):
        raise ValueError("true or false is wanted")
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise ValueError("a number of seconds above 0 is wanted")
        return float(value)
    if kind is str and not isinstance(value, str):
        raise ValueError("a text is wanted")
    if key in _ENDPOINTS and not (key == "rapiddisk" and value == LOCAL):
        fault = unusable_url(value)
        if fault:
            raise ValueError(f"'{defuse(without_password(value))}' is no endpoint: {fault}")
    if key == "http_proxy":
        # What stands before the @ may be a password, so the value is not shown.
        fault = unusable_url(re.sub(r"//[^/@]*@", "//", value))
        if fault:
            raise ValueError(f"no address of a proxy: {fault}")
    if key == "dialect" and value not in DIALECTS:
        raise ValueError(f"one of {', '.join(DIALECTS)} is wanted")
    return value


def unusable_url(url: str) -> str | None:
    """Why this cannot be an endpoint, or None when it can."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "its host or its port is none"  # urllib's own words show what may be a password
    if parts.scheme not in ("http", "https"):
        return "it must begin with http:// or https://"
    if not parts.hostname or not url.isprintable() or " " in url:
        return "it names no host"
    if port == 0 or parts.query or parts.fragment or parts.username is not None:
        return "it may hold a host, a port and a path, nothing else"
    return None


# --- resolution -------------------------------------------------------------------------------


def resolve(config: Config, flags: Mapping[str, Any]) -> Settings:
    """The settings that hold, each from the first of: the flag; the context that was named, taken
    whole; variables; the current context; the default."""
    environ = config.environ
    named = flags.get("context") or environ.get("RDCTL_CONTEXT") or None
    how = "-c" if flags.get("context") else "RDCTL_CONTEXT"
    typed = _flag_settings(flags)
    goes_elsewhere = any(key in typed for key in _ENDPOINTS)
    current = config.current
    layers: list[dict[str, Setting]] = [typed]
    if not named and current == SANDBOX:
        current = None
        if goes_elsewhere:
            # What was typed is another system; the other endpoint stays in the sandbox, with all
            # that belongs to it.
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
            raise RdctlError(
                Code.USAGE,
                "the sandbox has its own endpoints: --local and URLs cannot stand beside it",
                hint="Leave out -c sandbox, or the endpoint.",
            )
    else:
        layers.append(_variable_settings(environ, VARIABLES))
        if current:
            if current not in config.contexts:
                raise RdctlError(
                    Code.CONFIG,
                    f"the current context '{defuse(current)}' does not exist",
                    hint=f"Use another: rdctl context use {' | '.join(sorted(config.contexts))}",
                )
            context = config.contexts[current]
            layers.append(_context_settings(config, context, f"context {current} (current)"))
            named = current
        layers.append({"rapiddisk": Setting(LOCAL, "default", "default")})
    values: dict[str, Setting] = {}
    for layer in layers:
        for key, setting in layer.items():
            values.setdefault(key, setting)
    return Settings(named, values, bool(flags.get("context")))


_OF_OIO = ("oio", "namespace", "account", "dialect")


def several(config: Config, flags: Mapping[str, Any]) -> dict[str, bool] | None:
    """The contexts that -c or RDCTL_CONTEXT names where it names several, with commas or as a
    pattern (`rack1-*`), each with whether it stands there itself. None when it names one or none.
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
        raise RdctlError(Code.USAGE, f"'{defuse(named)}' names no context")
    if flags.get("local") or any(flags.get(name) for name in _ENDPOINTS.values()):
        raise RdctlError(
            Code.USAGE,
            "each of several contexts has its own endpoints: --local and URLs cannot stand beside",
            hint="Name one context, or leave out the endpoint.",
        )
    return found


def _flag_settings(flags: Mapping[str, Any]) -> dict[str, Setting]:
    if flags.get("local") and flags.get("rapiddisk_url"):
        raise RdctlError(Code.USAGE, "--local and --rapiddisk-url exclude each other")
    settings = {}
    for key, name in _FLAG_NAMES.items():
        value = flags.get(_ENDPOINTS.get(key, key))
        if value is not None:
            try:
                settings[key] = Setting(_checked(key, value), name, "flags")
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
                value: Any = float(text) if KEYS[key][0] is float else text
                value = _checked(key, value)
            except ValueError as error:
                raise RdctlError(Code.CONFIG, f"the variable {variable}: {error}") from error
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


# --- editing ----------------------------------------------------------------------------------


def parse_assignment(text: str) -> tuple[str, Any]:
    """`KEY=VALUE` as typed; an empty value means that the key goes."""
    key, equals, value = text.partition("=")
    if not equals or key not in KEYS:
        raise RdctlError(
            Code.USAGE,
            f"'{defuse(text)}' is not KEY=VALUE with a key of a context",
            hint=f"The keys are: {', '.join(KEYS)}.{guess(key, KEYS)}",
        )
    if not value:
        return key, None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RdctlError(Code.USAGE, f"{key}: a text in UTF-8 is wanted") from error
    kind = KEYS[key][0]
    parsed: Any = value
    if kind is bool:
        parsed = {"true": True, "yes": True, "false": False, "no": False}.get(value.lower(), value)
    try:
        return key, _checked(key, float(value) if kind is float else parsed)
    except ValueError as error:
        raise RdctlError(Code.USAGE, f"{key}: {error}") from error


def edited(
    text: str, path: str, *, current: str | None = None, name: str = "", values: Any = ()
) -> str:
    """The file's text with `current` and the values of one context set; comments stay. A value of
    None goes. The result is parsed again: what cannot be edited so is an error, nothing is lost."""
    if name and (name == SANDBOX or not re.fullmatch(_NAME, name)):
        raise _bad_name(name)
    wanted = parse(text, path)
    lines = text.split("\n")
    if current is not None:
        wanted["current"] = current
        _set_line(lines, 0, _end_of(lines, 0), "current", current)
    if name:
        table = wanted.setdefault("contexts", {}).setdefault(name, {})
        start = _table_at(lines, name)
        for key, value in values:
            _set_line(lines, start, _end_of(lines, start), key, value)
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    return _proved(lines, wanted, path)


def without(text: str, path: str, name: str) -> str:
    """The file's text without one context; `current` goes too if it names it."""
    wanted = parse(text, path)
    wanted["contexts"].pop(name)
    lines = text.split("\n")
    start = _table_at(lines, name)
    del lines[start - 1 : _end_of(lines, start)]
    if wanted.get("current") == name:
        del wanted["current"]
        _set_line(lines, 0, _end_of(lines, 0), "current", None)
    return _proved(lines, wanted, path)


def _proved(lines: list[str], wanted: dict[str, Any], path: str) -> str:
    result = "\n".join(lines).strip("\n") + "\n"
    try:
        found = parse(result, path)
    except RdctlError:
        found = {}
    wanted.setdefault("contexts", {})
    if {"contexts": {}, **found} != wanted:
        raise RdctlError(
            Code.CONFIG,
            f"{path} is written in a way that rdctl does not edit; nothing was changed",
            hint="Edit it by hand, or write each context as a table [contexts.NAME].",
        )
    return result


def _table_at(lines: list[str], name: str) -> int:
    """The line after the header of the context's table, which is added when it is not there."""
    while lines and not lines[-1].strip():
        lines.pop()
    header = re.compile(
        rf"""\s*\[\s*contexts\s*\.\s*(?:{re.escape(name)}|"{re.escape(name)}"|'{re.escape(name)}')"""
        r"\s*\]\s*(?:#.*)?"
    )
    for number, line in enumerate(lines):
        if header.fullmatch(line):
            return number + 1
    if lines:
        lines.append("")
    lines.append(f"[contexts.{json.dumps(name) if '.' in name else name}]")
    return len(lines)


def _end_of(lines: list[str], start: int) -> int:
    """Where the table that holds line `start` ends: at the next header, or at the comment right
    above that, which belongs to it."""
    end = start
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    while end > start and lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return end


def _set_line(lines: list[str], start: int, end: int, key: str, value: Any) -> None:
    assignment = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    line = f"{key} = {_toml(value)}"
    for number in range(start, end):
        if assignment.match(lines[number]):
            comment = _comment_of(lines[number])
            lines[number : number + 1] = [] if value is None else [line + comment]
            return
    if value is None:
        return
    while end > start and not lines[end - 1].strip():
        end -= 1
    lines.insert(end, line)


def _comment_of(line: str) -> str:
    """The comment behind an assignment, with the blanks before it: without it the line is valid."""
    import tomllib

    for found in re.finditer("#", line):
        assignment = line[: found.start()].rstrip()
        try:
            tomllib.loads(assignment)
        except tomllib.TOMLDecodeError:  # within a text
            continue
        return line[len(assignment) :]
    return ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value) if value.is_integer() else value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
