"""Links of objects: another object that shares the bytes, but no chunk, of the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.core.results import Change, Failure, Report
from rdctl.core.units import escape
from rdctl.oio.acts import PROVEN
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.assumed import assumed
from rdctl.oio.objects.hardlinks import HardLinks
from rdctl.oio.objects.prepared import check_names
from rdctl.oio.objects.transfers import exists, with_left
from rdctl.oio.objects.upload import Uploads
from rdctl.oio.rawx import full_path, predicted_id
from rdctl.workers import Stopped


class Link(NamedTuple):
    """What the new object is like. `properties` None: those of the first; `id` None: the server
    chooses one."""

    overwrite: bool = False
    autocreate: bool = False
    properties: Mapping[str, str] | None = None
    id: str | None = None


class Links(Uploads):
    """One object, linked under another name or into another container."""

    def link(self, source: Place, target: Place, link: Link) -> Report:
        """Link an object. An existing target is refused without `overwrite`; without versioning it
        is lost, which is confirmed."""
        content = self._asked(lambda: self._show(source))
        properties = link.properties
        if properties is None:
            properties = self._asked(
                lambda: self._proxy.read("content.get_properties", source)
            ).properties
        self._proxy.suggests = not link.autocreate
        to = self._look_up_one(target.holder, link.autocreate)
        self._proxy.suggests = False
        loss = self._loss(target, link) if to.owner is not None else None
        self._effects.consent([loss] if loss else [])
        self._effects.foretell([f"link {source.described} as {target.described}"])
        return Report([self._linked(content, source, target, link, dict(properties), loss)])

    def _loss(self, target: Place, link: Link) -> str | None:
        try:
            self._asked(lambda: self._show(target))
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return None
            if error.facts.get("remote_status") != _DRAINED:
                raise
        if not link.overwrite:
            raise exists(target)
        kept = self._to[target.holder].keeps_versions
        return None if kept else f"{target.described} will be replaced"

    def _linked(
        self,
        content: Content,
        source: Place,
        target: Place,
        link: Link,
        properties: dict[str, str],
        loss: str | None,
    ) -> Change | Failure:
        prepared = self._prepared(content, target, link)
        owner = self._owner_of(target)
        names = (owner.account, owner.container, str(target.path))
        path = full_path(*names, str(prepared.version or ""), prepared.content_id or "")
        links = HardLinks(self._rawx, self._effects, self._workers)
        named = _naming(owner.cid, str(target.path), prepared)
        try:
            chunks = self._link_all(links, content, path, named)
            self._workers.check()
            if not link.overwrite and not self._effects.dry_run:
                self._asked(lambda: self._until_taken(lambda: self._still_free(target)))
        except Stopped:
            return self._interrupted(target, links)
        except BaseException as error:  # what was linked is removed, whatever it is
            left = links.tidy()
            if not isinstance(error, Exception):
                raise
            raise with_left(as_error(error), left) from error
        self._register(content, source, target, prepared, chunks, properties, links, loss)
        facts = {"to": target.path, "to_container": target.container, "size": content.size}
        return self._done("link", source.name, PROVEN, facts)

    def _prepared(self, content: Content, target: Place, link: Link) -> Content:
        """The ID and the version of the new object; the places of its chunks are not used."""
        to = self._to[target.holder]
        making = link.autocreate and to.owner is None
        prepared: Content | None = self._asked(
            lambda: self._change(
                "content.prepare",
                target,
                {"content": link.id} if link.id else None,
                shows=f"rdctl oio container show {target.holder.words}",
                step=not making,
                assume=None,
                size=1,
                policy=content.policy,
                autocreate=making,
            )
        )
        if prepared is None:
            policy = content.policy or to.policy
            prepared = assumed(self._namespace, target, 1, policy, None)
            return prepared._replace(content_id=link.id or prepared.content_id)
        check_names(prepared, target)
        if link.id is not None and (prepared.content_id or "").upper() != link.id.upper():
            message = f"{target.shown}: the proxy does not accept the ID {link.id}"
            raise RdctlError(Code.BAD_REPLY, message, target=target.name)
        return prepared

    def _link_all(
        self,
        links: HardLinks,
        content: Content,
        path: str,
        named: Callable[[str], str] | None,
    ) -> list[dict[str, Any]]:
        """Link every chunk; if one cannot be linked, none is."""
        chunks = links.chunks_of(content, named)
        pairs = list(zip(content.chunks, chunks, strict=True))

        def one(pair: tuple[Mapping[str, Any], Mapping[str, Any]]) -> RdctlError | None:
            try:
                links.make(*pair, path)
            except RdctlError as error:
                return error
            return None

        several = len(pairs) > 1
        outcomes = self._workers.ordered(one, pairs) if several else map(one, pairs)
        faults = [fault for fault in outcomes if fault is not None]
        if faults:
            raise _not_linked(content, len(faults), len(pairs), faults[0])
        return chunks

    def _register(
        self,
        content: Content,
        source: Place,
        target: Place,
        prepared: Content,
        chunks: list[dict[str, Any]],
        properties: dict[str, str],
        links: HardLinks,
        loss: str | None,
    ) -> None:
        """Create the object. Its chunks are removed only if it certainly does not exist."""

        def create() -> None:
            self._change(
                "content.create",
                target,
                what=f"link {source.described} as {target.described}",
                destroys=loss,
                length=content.size,
                content_id=prepared.content_id,
                version=prepared.version,
                hash=content.hash,
                policy=prepared.policy,
                mime_type=content.mime_type,
                chunk_method=content.chunk_method,
                chunks=chunks,
                properties=properties,
            )

        try:
            self._asked(lambda: self._until_taken(create))
        except RdctlError as error:
            if error.code is not Code.UNKNOWN:
                raise with_left(error, links.tidy()) from error
            error.message += f"; its {len(chunks)} chunks were not deleted"
            error.hint = f"See whether it exists: rdctl oio content show {target.words}"
            error.facts["chunks"] = links.urls
            raise

    def _interrupted(self, target: Place, links: HardLinks) -> Failure:
        left = links.tidy()
        if not left:
            self._effects.undone.append(f"link {target.shown}")
        message = "interrupted" if left else "interrupted (partial data removed)"
        error = RdctlError(Code.INTERRUPTED, message, target=target.name)
        return Failure("link", with_left(error, left))


def _naming(cid: str, path: str, prepared: Content) -> Callable[[str], str] | None:
    """How the proxy names the chunks of a new object, as those that it prepared show; None: at
    random, so that a client may choose as well."""
    named = partial(predicted_id, cid, path, prepared.version, prepared.policy)
    shown = prepared.chunks[0] if prepared.chunks else {}
    id = str(shown.get("url", "")).rpartition("/")[2]
    return named if id == named(str(shown.get("pos"))) else None


# What content/show refuses: the data of the object were drained.
_DRAINED = 427


def _not_linked(content: Content, failed: int, tried: int, fault: RdctlError) -> RdctlError:
    shown = escape(content.path)
    # Whether the link exists does not matter: it is removed.
    codes = (Code.UNKNOWN, Code.NOT_FOUND, Code.EXISTS)
    code = Code.UNAVAILABLE if fault.code in codes else fault.code
    hint = "See the state of its chunks: rdctl oio content check CONTAINER PATH"
    message = f"{shown}: {failed} of {tried} chunks could not be linked: {fault.message}"
    return RdctlError(code, message, hint=fault.hint or hint, **fault.facts)
