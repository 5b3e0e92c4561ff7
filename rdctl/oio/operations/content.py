"""Objects (contents) by their names, and the chunks that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Item, Listing, Report
from rdctl.core.units import escape, human_size
from rdctl.net.transport import READ_SECONDS
from rdctl.oio.acts import ACCEPTED, ALREADY, PAGE, PROVEN, UNREPORTED, Evidence, failure
from rdctl.oio.model import Container, Content, Entry, Located, Place, Service
from rdctl.oio.operations.versions import Versions
from rdctl.oio.properties import CREATE, check_user
from rdctl.oio.rawx import Rawx, copy_of
from rdctl.oio.sync.ranges import ranges


class Contents(Versions):
    def show(self, places: Sequence[Place], chunks: bool) -> Listing:
        """Show each object; tables list its chunks only with `chunks`. User properties are
        requested separately, as headers may hide or break them."""

        def show(place: Place) -> Any:
            content = self._proxy.content(place)
            found = self._proxy.read("content.get_properties", place)
            return _about(place, content)._replace(properties=found.properties)

        listing = self._shown(places, show)
        listing.counted = () if chunks else ("chunks",)
        return listing

    def locate(self, place: Place, held: bool) -> Listing:
        """The chunks of an object, with their services; `held`: and what these report of them."""
        content = self._proxy.content(place)
        services: list[Service] = self._proxy.read("conscience.list", None, {"type": "rawx"})
        tags = {name: one.tags for one in services for name in _names_of(one)}
        found = [_located(chunk, tags) for chunk in content.chunks]
        listing = Listing(found, also=("chunk_size", "chunk_hash") if held else ())
        if held:
            listing.items = self._with_held(found, listing)
        return listing

    def _with_held(self, found: Sequence[Located], listing: Listing) -> Iterator[Located]:
        rawx = Rawx(self._proxy.reach)

        def look(one: Located) -> Located | RdctlError:
            try:
                copy = copy_of({"url": one.url, "real_url": one.real_url})
                held = rawx.head(copy, seconds=READ_SECONDS, check=self._workers.check)
                return one._replace(chunk_size=held.length, chunk_hash=held.hash)
            except RdctlError as error:
                return error

        for one, outcome in zip(found, self._workers.ordered(look, found), strict=True):
            if isinstance(outcome, RdctlError):
                listing.failures.append(failure("locate", str(one.url), outcome))
                listing.failed += 1
                yield one
            else:
                yield outcome

    def prepare(self, place: Place, size: int, policy: str | None, autocreate: bool) -> Item:
        """Chunks for a new object of `size` bytes; nothing is written to them."""
        content = self._change(
            self._proxy.prepares(size),
            place,
            shows=f"rdctl oio container show {place.holder.words}",
            size=size,
            policy=policy,
            autocreate=autocreate,
        )
        return Item(_about(place, content) if content is not None else None)

    def create(self, place: Place, description: Mapping[str, Any]) -> Report:
        """Register an object whose chunks were written."""
        check_user("content", CREATE, place, description.get("properties", {}))
        loss = self._replaced(place)
        if loss:
            self._effects.consent([loss])
        try:
            self._change("content.create", place, destroys=loss, **description)
        except RdctlError as error:
            if "CONTENTID" in error.message:
                error.hint = (
                    "Use --content-id HEX, or --body with the output of:"
                    f" rdctl oio content prepare {place.words} --size SIZE --json"
                )
            raise
        facts = {"size": description["length"]}
        return Report([self._done("create", place.name, PROVEN, facts)])

    def _replaced(self, place: Place) -> str | None:
        """The loss when an object of that name is created: the existing one, unless the container
        keeps versions."""
        # It is expected not to exist: do not search for similar names.
        suggests, self._proxy.suggests = self._proxy.suggests, False
        try:
            self._proxy.content(place)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise
        finally:
            self._proxy.suggests = suggests
        container: Container = self._proxy.read("container.show", place.holder)
        kept = container.keeps_versions
        return (
            None
            if kept
            else f'object "{place.shown}" in container "{place.holder.shown}" will be replaced'
        )

    def ranges(self, place: Place, shards: int, prefix: str | None) -> Listing:
        """Ranges of the listing, of about as many objects each."""

        def entries() -> Iterator[Entry]:
            for page in self._proxy.pages(place, {"max": PAGE, "prefix": prefix}):
                self._workers.progress.advance(len(page.entries))
                yield from page.entries

        self._workers.progress.begin(None, "objects")
        return Listing(ranges(entries(), shards))

    def spare(self, place: Place, policy: str, body: Any) -> Listing:
        chunks = self._change(
            "content.spare",
            place,
            {"stgpol": policy},
            what=f"get spare chunks for {place.described}",
            assume=[],
            body=body,
        )
        return Listing({"url": chunk} for chunk in chunks)

    def copy(self, place: Place, target: str) -> Report:
        if place.version is not None:
            message = f"{place.shown}: only the latest version can be copied"
            raise RdctlError(Code.UNSUPPORTED, message, target=place.name)
        self._change(
            "content.copy",
            place,
            what=f"copy {place.described} to {escape(target)}",
            shows=f"rdctl oio content show {place._replace(path=target, content_id=None).words}",
            namespace=self._proxy.namespace,
            target=place._replace(path=target),
        )
        return Report([self._done("copy", place.name, UNREPORTED, {"to": target})])

    def transition(self, places: Sequence[Place], policy: str) -> Report:
        """Request another storage policy; the data are moved later."""

        def request(place: Place) -> Evidence:
            self._change("content.transition", place, policy=policy)
            return ACCEPTED

        return self._each("transition", places, request)

    def truncate(self, place: Place, size: int) -> Report:
        shown = self._proxy.content(place)
        if shown.size is None:
            message = f"{place.shown}: unreadable length in the reply"
            raise RdctlError(Code.BAD_REPLY, message, target=place.name)
        if shown.size == size:
            return Report([self._done("truncate", place.name, ALREADY)])
        if size > shown.size:
            message = f"{place.shown}: cannot be truncated to {human_size(size)}: it is smaller"
            raise RdctlError(Code.USAGE, message, target=place.name)
        loss = (
            f'object "{place.shown}" in container "{place.holder.shown}" will be truncated from'
            f" {human_size(shown.size)} to {human_size(size)}"
        )
        query = {"size": size}
        return self._destroy("content.truncate", "truncate", place, loss, ACCEPTED, query=query)


def _names_of(service: Service) -> list[str]:
    """How the url of a chunk may name its service."""
    id = service.tags.get("tag.service_id")
    return [service.address, *([str(id)] if id else [])]


def _located(chunk: Mapping[str, Any], tags: Mapping[str, Mapping[str, Any]]) -> Located:
    url = chunk.get("real_url") or chunk.get("url")
    host = str(url or "").removeprefix("http://").partition("/")[0]
    about = tags.get(host, {})
    return Located(
        pos=chunk.get("pos"),
        service=host or None,
        volume=about.get("tag.vol"),
        location=about.get("tag.loc"),
        score=chunk.get("score"),
        size=chunk.get("size"),
        hash=chunk.get("hash"),
        chunk_size=None,
        chunk_hash=None,
        url=chunk.get("url"),
        real_url=None if chunk.get("real_url") == chunk.get("url") else chunk.get("real_url"),
    )


def _about(place: Place, content: Content) -> Content:
    """The object under the requested names, its chunks with the same keys for all servers."""
    return content._replace(
        container=place.container,
        path=content.path or place.path or "",
        chunks=[_chunk(chunk) for chunk in content.chunks],
    )


def _chunk(chunk: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("pos", "size", "hash", "score", "url")
    real_url = chunk.get("real_url")
    return {
        **{key: chunk.get(key) for key in keys},
        "real_url": None if real_url == chunk["url"] else real_url,
    }
