"""The places of rebuilt chunks: their own, or those that content/spare returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.once import once
from rdctl.core.units import escape
from rdctl.effects.door import Effects
from rdctl.oio.addresses import Addresses
from rdctl.oio.client import Client
from rdctl.oio.integrity.model import PositionState
from rdctl.oio.integrity.plan import Plan, Rebuild
from rdctl.oio.model import Content, Namespace, Place
from rdctl.oio.objects.layout import scheme_of
from rdctl.oio.rawx import Copy
from rdctl.oio.routes import since

_TOO_FEW = 481


class New(NamedTuple):
    """A chunk that is rebuilt at its new place."""

    rebuild: Rebuild
    copy: Copy

    @property
    def in_place(self) -> bool:
        return self.copy.url == self.rebuild.chunk.copy.url


class Spares:
    """New places for the chunks of one object."""

    def __init__(
        self,
        proxy: Client,
        namespace: Callable[[], Namespace],
        effects: Effects,
        place: Place,
        content: Content,
        plan: Plan,
    ) -> None:
        self._proxy = proxy
        self._addresses = Addresses(proxy)
        self._namespace = namespace
        self._effects = effects
        self._place = place
        self._content = content
        self._plan = plan
        self._listing = {str(chunk["url"]): chunk for chunk in content.chunks}
        self._given: set[str] = set(self._listing)

    def targets(self) -> list[New]:
        """The places of all chunks of the plan."""
        found = [New(one, one.chunk.copy) for one in self._plan.rebuilds if one.in_place]
        moved = [one for one in self._plan.rebuilds if not one.in_place]
        for number in dict.fromkeys(one.position.number for one in moved):
            found += self._ask([one for one in moved if one.position.number == number], ())
        return found

    def others(self, rebuild: Rebuild, failed: Sequence[New]) -> list[New]:
        """Another place for a chunk that could not be stored at those that `failed`."""
        return self._ask([rebuild], failed)

    def chunk_of(self, new: New) -> dict[str, Any]:
        """A chunk in the proxy's list, at its new place."""
        old = self._listing[new.rebuild.chunk.copy.url]
        return {key: old[key] for key in ("pos", "size", "hash")} | new.copy.urls

    def _ask(self, rebuilds: Sequence[Rebuild], failed: Sequence[New]) -> list[New]:
        """New places for chunks of one position, on services without any of its chunks. If too few
        of these are left, also on the others."""
        if not self._by_position:
            return self._places(rebuilds, failed, ())
        found: list[New] = []
        for pos in dict.fromkeys(one.chunk.copy.pos for one in rebuilds):
            of_pos = [one for one in rebuilds if one.chunk.copy.pos == pos]
            found += self._places(of_pos, failed, found)
        return found

    @once
    def _by_position(self) -> bool:
        """Whether the proxy must know the exact position of new chunks. From 7.3 on, the ID of a
        chunk follows from it, and a meta2 2025 stores no other ID: a chunk with a random one is
        lost once it is registered."""
        return self._proxy.detect() in since("7")

    def _places(
        self, rebuilds: Sequence[Rebuild], failed: Sequence[New], placed: Sequence[New]
    ) -> list[New]:
        """`placed`: chunks of the same position number that have new places."""
        broken = [self._listing[one.chunk.copy.url] for one in rebuilds]
        broken += [self.chunk_of(new) for new in failed]
        kept = self._kept(rebuilds[0].position, len(rebuilds) + len(placed))
        kept += [self.chunk_of(new) for new in placed]
        try:
            urls = self._urls(kept, broken, rebuilds)
        except RdctlError as error:
            if error.facts.get("remote_status") != _TOO_FEW or failed or not kept:
                raise
            urls = self._urls(kept, [], rebuilds)
        return self._placed(rebuilds, urls)

    def _kept(self, position: PositionState, count: int) -> list[Any]:
        """The chunks to keep. One too many of them crashes a meta2 of 4.2: surplus ones are left
        out, also those that the storage policy does not require anymore."""
        replaced = {one.chunk.copy.url for one in self._plan.rebuilds if not one.in_place}
        urls = [chunk.copy.url for chunk in position.chunks if chunk.copy.url not in replaced]
        method = self._namespace().chunk_method(self._policy())
        wanted = scheme_of(self._content._replace(chunk_method=method)).wanted
        most = min(wanted, position.scheme.wanted) - count
        return [self._listing[url] for url in urls[: max(0, most)]]

    def _policy(self) -> str:
        """Without it, the proxy would use that of the container."""
        if not self._content.policy:
            message = f"{escape(self._content.path)}: its storage policy is unknown"
            raise RdctlError(Code.UNSUPPORTED, f"{message}, and new chunks require one")
        return self._content.policy

    def _urls(self, kept: list[Any], broken: list[Any], rebuilds: Sequence[Rebuild]) -> list[str]:
        place, query = self._place.holder._replace(path=self._content.path), {}
        if self._by_position:
            place = place._replace(version=str(self._content.version))
            query = {"position": rebuilds[0].chunk.copy.pos}
        urls: list[str] = self._proxy.change(
            "content.spare",
            place,
            {"stgpol": self._policy(), **query},
            what=f"get spare chunks for {self._place.described}",
            shows=f"rdctl oio content show {self._place.words}",
            step=True,
            assume=[f"http://<rawx>/<chunk {number}>" for number in range(len(rebuilds))],
            body={"notin": kept, "broken": broken},
        )
        return urls

    def _placed(self, rebuilds: Sequence[Rebuild], urls: Sequence[str]) -> list[New]:
        if self._effects.dry_run:
            copies = [Copy(url, "<rawx>", "/" + url.rpartition("/")[2]) for url in urls]
        else:
            copies = [self._addresses.copy_at(url) for url in urls]
            copies = [one for one in dict.fromkeys(copies) if one.url not in self._given]
        if len(copies) < len(rebuilds):
            message = (
                f"{escape(self._content.path)}: the proxy returned {len(copies)} of {len(rebuilds)}"
                " new chunks"
            )
            raise RdctlError(Code.BAD_REPLY, message)
        self._given |= {copy.url for copy in copies}
        return [
            New(one, copy._replace(pos=one.chunk.copy.pos))
            for one, copy in zip(rebuilds, copies, strict=False)
        ]
