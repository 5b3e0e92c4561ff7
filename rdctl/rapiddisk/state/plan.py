"""What apply does, as data: steps, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.once import once
from rdctl.core.units import escape, natural
from rdctl.effects.door import Effects
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.guards import NO_OVERRIDES, Facts
from rdctl.rapiddisk.state.compare import Comparison, Difference
from rdctl.rapiddisk.state.made import Made
from rdctl.rapiddisk.state.model import State

if TYPE_CHECKING:
    from rdctl.rapiddisk.contents import Contents
    from rdctl.rapiddisk.imagefile import ImageFile


class Options(NamedTuple):
    """`prune`: also remove what an earlier apply made and the file lacks; `recreate`: re-create
    exports whose identity differs; `boot`: do what can be done, and ask nothing; `only`: the kinds
    of model.KINDS; `save`: the file becomes that of the machine."""

    prune: bool = False
    recreate: bool = False
    overcommit: bool = False
    boot: bool = False
    only: str | None = None
    save: bool = False


class Stage(IntEnum):
    """The order of the steps. Hosts have their keys before an export allows them. Locks come last:
    a locked volume can be neither cached nor exported."""

    REMOVE = 0
    UNLOCK = 1
    VOLUME = 2
    CONTENTS = 3
    CACHE = 4
    PORT = 5
    HOST = 6
    EXPORT = 7
    LOCK = 8
    SAVE = 9


class Step(NamedTuple):
    """One change. `sentence` says what it would do; `action`, `facts` and `past` are those of its
    Change. `loss` has to be confirmed; if it is `implied`, apply --boot does so. `makes`: the thing
    is new. `keys` are those of the differences that it ends; None: all of the thing."""

    stage: Stage
    kind: str
    name: str
    sentence: str
    act: Callable[[], None]
    action: str
    facts: Mapping[str, Any] = MappingProxyType({})
    past: str | None = None
    loss: str | None = None
    implied: bool = False
    makes: bool = False
    keys: Collection[str | None] | None = None

    def ends(self, one: Difference) -> bool:
        same = (one.kind, one.name) == (self.kind, self.name)
        return same and (self.keys is None or one.key in self.keys)

    @property
    def essence(self) -> tuple[object, ...]:
        """What was consented to."""
        return self.stage, self.kind, self.name, self.sentence, self.loss


class Refusal(NamedTuple):
    """What apply does not do for one thing of the file. `follows`: only because another thing is
    refused."""

    kind: str
    name: str
    error: RdctlError
    follows: bool = False


class _Follows(RdctlError):
    """The error of a thing that needs another one, which is refused."""


class Work:
    """What the planners of all kinds share. `whole` is the file without --only. `going`: the kind
    and name of what --prune removes first; `refused` are the things that will not exist. `images`
    are those that were checked already, by their path and the size of their volume."""

    def __init__(
        self,
        backend: Backend,
        effects: Effects,
        comparison: Comparison,
        whole: State,
        options: Options,
        contents: Contents,
        images: dict[tuple[str, int], ImageFile],
    ) -> None:
        self.backend = backend
        self.effects = effects
        self.comparison = comparison
        self.whole = whole
        self.options = options
        self.contents = contents
        self._images = images
        self.made = Made(backend)
        self.going: set[tuple[str, str]] = set()
        self.refused: set[tuple[str, str]] = set()

    @once
    def facts(self) -> Facts:
        """Read when something has to be guarded."""
        return Facts(self.backend, list(self._affected()), NO_OVERRIDES)

    def _affected(self) -> Iterator[str]:
        """The existing devices that will be cached, exported, loaded or removed."""
        there, wanted = self.comparison.there, self.comparison.wanted
        found: list[str] = []
        for cache in wanted.caches:
            if cache.name not in there.caches:
                source = self.comparison.source(cache.source)
                found += [cache.volume, *([source.kernel] if source else [])]
        found += [one.device for one in wanted.exports if one.nqn not in there.exports]
        found += [one.name for one in wanted.volumes if one.image is not None]
        if self.options.prune:
            found += [one.name for one in self.comparison.extras() if one.kind == "volume"]
        for device in dict.fromkeys(found):
            if device in there.volumes or self.backend.size_of(device) is not None:
                yield device

    def image(self, path: str, size: int, volume: str) -> ImageFile:
        """An image for a volume of that size. Its digest is checked once, since it may be large."""
        if (path, size) not in self._images:
            place = self.backend.host().place(path)
            self._images[path, size] = self.contents.check_image(place, size, path, volume)
        return self._images[path, size]

    @contextmanager
    def refusing(
        self, kind: str, name: str, into: list[Step | Refusal], at: str = ""
    ) -> Iterator[None]:
        """Turn an error into a refusal of this thing, which the file has `at` a line."""
        try:
            yield
        except RdctlError as error:
            error.target = name
            if at:
                error.hint = hints(error.hint, f"See {at}.")
            if kind == "port" and not re.search(rf"port {name}\b", error.message):
                error.message = f"port {name}: {error.message}"
            into.append(Refusal(kind, name, error, isinstance(error, _Follows)))
            self.refused.add((kind, name))

    def check_planned(self, kind: str, name: str, planned: Collection[str]) -> None:
        """Raise unless a thing that is not on the machine will be made."""
        if name not in planned:
            message = f"{kind} {name} not found: it is neither on this machine nor in the file"
            there = getattr(self.comparison.there, f"{kind}s")
            known = sorted({*planned, *map(str, there)}, key=natural)
            hint = f"Known {kind}s: {', '.join(known)}." if known else None
            raise RdctlError(Code.NOT_FOUND, message, hint=hint)
        if (kind, name) in self.refused:
            raise _Follows(Code.NOT_FOUND, f"{kind} {name} was not created")

    def check_contents(self, volume: str) -> None:
        """Raise if the volume lacks its contents: clients would have an empty disk."""
        wanted = next((one for one in self.whole.volumes if one.name == volume), None)
        if wanted is None or wanted.image is None:
            return
        message = f"{volume} does not have the contents of its image {escape(wanted.image)}"
        if ("image", volume) in self.refused:
            raise _Follows(Code.CONFLICT, message)
        if self.options.only == "exports" and volume in self.comparison.there.volumes:
            if self.comparison.image(wanted) != wanted.image:
                hint = "Load it first: rdctl rapiddisk apply --only images"
                raise RdctlError(Code.CONFLICT, message, hint=hint)

    def claim(self, devices: Sequence[str]) -> AbstractContextManager[object]:
        """As the backend's; a dry run claims nothing, since it removed no user before."""
        return nullcontext() if self.effects.dry_run else self.backend.claim(devices)

    @property
    def users_going(self) -> Collection[tuple[str, str]]:
        """The same, as users of a device."""
        return {one for one in self.going if one[0] in ("cache", "export")}
