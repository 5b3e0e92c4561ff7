"""The state of a check: values by key, each compared with its thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.plugin import CRITICAL, OK, STATES, UNKNOWN, WARNING
from rdctl.core.plugin import line as plugin_line
from rdctl.core.units import defuse, did_you_mean, nearest
from rdctl.metrics.model import Gathered, Labels, Sample
from rdctl.metrics.thresholds import BYTES, Range, parse_range, shown

# How many names a text lists of a value, and how many values and failures in all: Nagios cuts long
# lines, and the values after the text would be lost.
_NAMED = 5
_LISTED = 20
_PERCENT = 100.0
# Worst first, as the plugins of monitoring-plugins.org join states.
_WORST = (CRITICAL, WARNING, UNKNOWN, OK)


class Value(NamedTuple):
    """`names` are what it is about, if there are few."""

    number: float
    names: Sequence[str] = ()


class Key(NamedTuple):
    """`find` computes the value; None: not known. Without thresholds it is shown only."""

    name: str
    unit: str
    help: str
    warning: str | None
    critical: str | None
    find: Callable[[Samples], Value | None]


class Result(NamedTuple):
    """One value with its thresholds. `value` is None if it is not known, but has a threshold."""

    context: str | None
    key: Key
    value: Value | None
    warning: Range | None
    critical: Range | None

    @property
    def state(self) -> int:
        if self.value is None:
            return UNKNOWN
        if self.critical is not None and self.critical.alerts(self.value.number):
            return CRITICAL
        alerts = self.warning is not None and self.warning.alerts(self.value.number)
        return WARNING if alerts else OK


class Samples:
    """The samples by metric."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by: dict[str, list[Sample]] = {}
        for sample in samples:
            self._by.setdefault(sample.metric, []).append(sample)

    def of(self, metric: str) -> list[Sample]:
        return self._by.get(metric, [])

    def one(self, metric: str, **labels: str) -> float | None:
        for sample in self.of(metric):
            if labels.items() <= dict(sample.labels).items():
                return sample.value
        return None


# --- values -------------------------------------------------------------------------------------


def _plain(metric: str, **labels: str) -> Callable[[Samples], Value | None]:
    def find(samples: Samples) -> Value | None:
        value = samples.one(metric, **labels)
        return None if value is None else Value(value)

    return find


def _memory(samples: Samples) -> Value | None:
    total = samples.one("rapiddisk_memory_total_bytes")
    available = samples.one("rapiddisk_memory_available_bytes")
    if not total or available is None:
        return None
    return Value(_PERCENT * available / total)


def _overcommit(samples: Samples) -> Value | None:
    """As the warning of `rapiddisk list`: a daemon reports only all memory."""
    promised = samples.one("rapiddisk_memory_promised_bytes")
    used = samples.one("rapiddisk_memory_used_bytes")
    available = samples.one("rapiddisk_memory_available_bytes")
    total = samples.one("rapiddisk_memory_total_bytes")
    if promised is None:
        return None
    if available is None:
        return Value(_PERCENT * promised / total) if total else None
    return Value(_PERCENT * (promised - (used or 0)) / available) if available else None


def _usage(samples: Samples) -> Value | None:
    """That of the fullest volume."""
    sizes = {one.labels: one.value for one in samples.of("rapiddisk_volume_size_bytes")}
    shares = [
        (_PERCENT * one.value / sizes[one.labels], dict(one.labels)["volume"])
        for one in samples.of("rapiddisk_volume_usage_bytes")
        if sizes.get(one.labels)
    ]
    if not shares:
        return None
    share, name = max(shares)
    return Value(share, [name])


def _dirty(samples: Samples) -> Value | None:
    return _over(samples, "rapiddisk_cache_dirty_bytes", sum)


def _writeback(samples: Samples) -> Value | None:
    """That of the slowest cache: they write to their sources at the same time."""
    return _over(samples, "rapiddisk_cache_writeback_estimate_seconds", max)


def _over(samples: Samples, metric: str, total: Callable[[Iterable[float]], float]) -> Value | None:
    """Nothing is dirty without a writeback cache; where only some are reported, it is not known."""
    caches = samples.one("rapiddisk_caches")
    info = (dict(one.labels) for one in samples.of("rapiddisk_cache_info"))
    writeback = {one["cache"] for one in info if one["policy"] == "writeback"}
    if caches is None or (writeback and not samples.of(metric)):
        return None
    found = [one for one in samples.of(metric) if one.value]
    return Value(total(one.value for one in found) if found else 0, _names(found, "cache"))


def _failed_caches(samples: Samples) -> Value | None:
    both = [*samples.of("rapiddisk_cache_broken"), *samples.of("rapiddisk_cache_failed")]
    if not both and samples.one("rapiddisk_caches") != 0:
        return None
    names = _names([one for one in both if one.value], "cache")
    return Value(len(names), names)


def _exposed(samples: Samples) -> Value | None:
    """What doctor warns of: no key or no TLS at a public address, or any host at all addresses."""
    if samples.one("rapiddisk_exports") is None:
        return None

    def those(metric: str, yes: bool = True) -> set[Labels]:
        found = samples.of(f"rapiddisk_export_{metric}")
        return {one.labels for one in found if bool(one.value) is yes}

    exposed = those("public_ports") & those("authenticated", False)
    exposed |= those("public_unencrypted_ports")
    exposed |= those("wildcard_ports") & those("any_host")
    names = sorted({dict(labels)["nqn"] for labels in exposed})
    return Value(len(names), names)


def _down(samples: Samples) -> Value | None:
    found = samples.of("oio_service_up")
    down = [one for one in found if not one.value]
    names = [f"{dict(one.labels)['type']} {dict(one.labels)['service']}" for one in down]
    return Value(len(down), names) if found else None


def _types_down(samples: Samples) -> Value | None:
    found = samples.of("oio_service_up")
    up = {dict(one.labels)["type"] for one in found if one.value}
    down = [name for name in _names(found, "type") if name not in up]
    return Value(len(down), down) if found else None


def _unusable(samples: Samples) -> Value | None:
    valid = samples.one("rapiddisk_state_valid")
    return None if valid is None else Value(int(not valid))


def _names(samples: Iterable[Sample], label: str) -> list[str]:
    return list(dict.fromkeys(dict(one.labels)[label] for one in samples))


_STATE = "rapiddisk_state_differences"
KEYS = (
    Key("memory", "%", "available memory", "10:", "5:", _memory),
    Key(
        "overcommit",
        "%",
        "memory that volumes could still take, of that available",
        "95",
        None,
        _overcommit,
    ),
    Key("volumes", "", "volumes", None, None, _plain("rapiddisk_volumes")),
    Key("usage", "%", "memory used by the fullest volume, of its size", None, None, _usage),
    Key("caches", "", "caches", None, None, _plain("rapiddisk_caches")),
    Key(
        "failed-caches",
        "",
        "caches that are incomplete, lost their volume, or report an error",
        None,
        "0",
        _failed_caches,
    ),
    Key("dirty", BYTES, "data not written back to disks", None, None, _dirty),
    Key("writeback", "s", "estimated time to write them back", "300", None, _writeback),
    Key("exports", "", "exported namespaces", None, None, _plain("rapiddisk_exports")),
    Key(
        "exposed-exports",
        "",
        "exports at addresses that are not private, without keys or without TLS, or open to any"
        " host at all addresses",
        "0",
        None,
        _exposed,
    ),
    Key("state-file", "", "state files that cannot be used", None, "0", _unusable),
    Key(
        "missing",
        "",
        "things of the state file that the machine lacks",
        None,
        "0",
        _plain(_STATE, state="missing"),
    ),
    Key(
        "differing",
        "",
        "attributes that differ from the state file",
        "0",
        None,
        _plain(_STATE, state="differs"),
    ),
    Key(
        "extra",
        "",
        "things that the state file lacks",
        None,
        None,
        _plain(_STATE, state="extra"),
    ),
    Key("services-down", "", "OpenIO services that are not up", "0", None, _down),
    Key("types-down", "", "types of which no service is up", None, "0", _types_down),
    Key(
        "events", "", "events waiting in the queue", None, None, _plain("oio_events", state="ready")
    ),
    Key("buried-events", "", "events that failed", "0", None, _plain("oio_events", state="buried")),
)


# --- thresholds ---------------------------------------------------------------------------------

Thresholds = Mapping[str, Range]


def thresholds(option: str, words: Iterable[str]) -> Thresholds:
    """Those of one option, `KEY=RANGE` each."""
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise RdctlError(Code.USAGE, f'invalid value "{word}" for {option}: must be KEY=RANGE')
        key = next((key for key in KEYS if key.name == name), None)
        if key is None:
            names = [key.name for key in KEYS]
            raise RdctlError(
                Code.USAGE,
                f'unknown key "{name}" for {option}{did_you_mean(nearest(name, names))}',
                hint=f"Keys: {', '.join(names)}.",
            )
        try:
            found[name] = parse_range(text, key.unit)
        except ValueError as error:
            raise RdctlError(
                Code.USAGE, f'invalid range "{text}" for {option} {name}: {error}'
            ) from error
    return found


def results(
    context: str | None, gathered: Gathered, warning: Thresholds, critical: Thresholds
) -> Iterator[Result]:
    """The values that are known, and those that a threshold was given for."""
    samples = Samples(gathered.samples)
    for key in KEYS:
        value = key.find(samples)
        if value is not None or key.name in warning or key.name in critical:
            yield Result(
                context,
                key,
                value,
                _threshold(key, key.warning, warning),
                _threshold(key, key.critical, critical),
            )


def _threshold(key: Key, default: str | None, given: Thresholds) -> Range | None:
    if key.name in given:
        return given[key.name]
    return None if default is None else parse_range(default, key.unit)


# --- the line -----------------------------------------------------------------------------------


class Unread(NamedTuple):
    """A part, or a whole context, that could not be read."""

    context: str | None
    part: str | None
    error: RdctlError


def state_of(found: Sequence[Result], unread: Sequence[Unread]) -> int:
    """The worst one; unknown without any."""
    states = {one.state for one in found}
    if unread or not found:
        states.add(UNKNOWN)
    return next(state for state in _WORST if state in states)


def text_of(found: Sequence[Result], unread: Sequence[Unread]) -> str:
    """All on one line: what is wrong, or if nothing is, all values."""
    state = state_of(found, unread)
    wrong = [one for bad in _WORST[:-1] for one in found if one.state == bad]
    words = [_about(one) for one in wrong]
    words += _failures(unread)
    if not words:
        words = [_about(one) for one in found] or ["nothing to check"]
    text = ", ".join([*words[:_LISTED], *_more(len(words), _LISTED)])
    return plugin_line(state, defuse(text), [_performance(one) for one in found if one.value])


def _about(result: Result) -> str:
    where = f"{result.context}: " if result.context else ""
    if result.value is None:
        return f"{where}{result.key.name} is not known"
    names = list(result.value.names)
    if result.state == OK:
        names = []
    more = " ".join(["", *_more(len(names), _NAMED)])
    listed = f" ({', '.join(names[:_NAMED])}{more})" if names else ""
    number, unit = shown(result.value.number), result.key.unit
    gap = " " if unit.isalpha() else ""
    return f"{where}{result.key.name} {number}{gap}{unit}{listed}"


def _failures(unread: Sequence[Unread]) -> Iterator[str]:
    """Parts with the same message share it."""
    parts: dict[tuple[str | None, str], list[str]] = {}
    for one in unread:
        parts.setdefault((one.context, one.error.message), []).append(one.part or "")
    for (context, message), names in parts.items():
        place = " ".join([names[0], *_more(len(names), 1)])
        yield ": ".join(filter(None, [context, place, message]))


def _more(count: int, shown: int) -> list[str]:
    return [f"and {count - shown} more"] if count > shown else []


def _performance(result: Result) -> str:
    """`'LABEL'=VALUE[UNIT];[WARNING];[CRITICAL];[MINIMUM];[MAXIMUM]`"""
    key, value = result.key, result.value
    label = f"{result.context}/{key.name}" if result.context else key.name
    if not label.replace("-", "").replace("/", "").isalnum():
        label = "'" + label.replace("'", "''").replace("=", "_") + "'"
    ranges = [one.text if one else "" for one in (result.warning, result.critical)]
    most = "100" if key.name in ("memory", "usage") else ""
    number = shown(value.number) if value else "U"
    return ";".join([f"{label}={number}{key.unit}", *ranges, "0", most]).rstrip(";")


def data_of(found: Sequence[Result], unread: Sequence[Unread]) -> Mapping[str, Any]:
    """The same for JSON and YAML."""
    several = any(one.context is not None for one in found) or any(
        one.context is not None for one in unread
    )

    def where(context: str | None) -> dict[str, Any]:
        return {"context": context} if several else {}

    return {
        "state": STATES[state_of(found, unread)],
        "values": [
            {
                **where(one.context),
                "key": one.key.name,
                "state": STATES[one.state],
                "value": one.value and round(one.value.number, 2),
                "unit": one.key.unit or None,
                "warning": one.warning and one.warning.text,
                "critical": one.critical and one.critical.text,
                "names": list(one.value.names) if one.value else [],
            }
            for one in found
        ],
        "unread": [
            {
                **where(one.context),
                "part": one.part,
                "code": one.error.code.word,
                "message": one.error.message,
            }
            for one in unread
        ],
    }
