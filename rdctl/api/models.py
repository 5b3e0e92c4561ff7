"""What the API returns: plain data, whose fields are the keys of `rdctl help output`.

Read fields by their names: releases may add some, so neither the length nor the order of such a
tuple is fixed. Sizes are bytes, dates strings in UTC; None: the server does not report it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, NamedTuple, get_args, get_type_hints

from rdctl.oio.model import (
    Account,
    AccountContainer,
    Container,
    Content,
    Entry,
    Link,
    Located,
    Location,
    Namespace,
    Reference,
    Service,
)
from rdctl.rapiddisk.model import (
    Cache,
    Disk,
    Module,
    Port,
    Resources,
    Status,
    Target,
    User,
    Volume,
    VolumeDetail,
)

__all__ = [
    "Account",
    "AccountContainer",
    "Cache",
    "Change",
    "Container",
    "Content",
    "Difference",
    "Disk",
    "Entry",
    "Link",
    "Located",
    "Location",
    "Module",
    "Namespace",
    "Outcome",
    "Port",
    "Reference",
    "Resources",
    "Service",
    "State",
    "Status",
    "Target",
    "User",
    "Volume",
    "VolumeDetail",
]


_hints = cache(get_type_hints)


def typed(kind: Any, value: Any) -> Any:
    """What another machine sent as plain data, as what it is."""
    if not isinstance(value, dict | list):
        return value
    of = [one for one in get_args(kind) if one is not type(None)]
    if isinstance(kind, UnionType):
        return typed(of[0], value)
    if isinstance(value, list):
        return [typed(of[0] if of else Any, one) for one in value]
    if not hasattr(kind, "_fields"):
        return value
    hints = _hints(kind)
    return kind(**{name: typed(hints[name], value.get(name)) for name in kind._fields})


class Difference(NamedTuple):
    """A difference between a machine and its state file: `state` is missing (only in the file),
    extra (only on the machine) or differs (in `key`)."""

    kind: str
    name: str
    state: str
    key: str | None
    file: Any
    machine: Any
    note: str | None


class State(NamedTuple):
    """The state of a machine, as a TOML file and as data."""

    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One target that was changed, or needed no change.

    `changed` False: it was so already; None: not known. `verified` True: looked at afterwards, or
    proven by the reply; None: neither. `facts` depend on the action: size, hash, and what was
    changed as `before` and `after`, where they are known.
    """

    action: str
    target: str | None
    changed: bool | None
    verified: bool | None
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Outcome:
    """What an operation changed. Iterating gives its changes.

    In a dry run nothing is changed: `plan` has the steps as commands, `would` as sentences, and
    `losses` what would have to be consented to.
    """

    changes: tuple[Change, ...]
    dry_run: bool = False
    plan: tuple[str, ...] = ()
    would: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    @property
    def changed(self) -> bool:
        """Whether anything was changed; in a dry run, whether anything would be."""
        return any(change.changed is not False for change in self.changes)

    @property
    def verified(self) -> bool:
        """Whether every change was looked at afterwards, or proven by the reply."""
        return all(change.verified is True for change in self.changes)

    @property
    def targets(self) -> list[str]:
        """The names of all targets."""
        return [change.target for change in self.changes if change.target is not None]

    @property
    def target(self) -> str:
        """The name of the only target."""
        (name,) = self.targets
        return name
