"""The repair of one object, in an order that never loses anything.

New chunks are recorded in the journal, stored with their hash, and read back. If the object is
still the same, they are registered in one transaction; only what they then have replaced is
removed. On any failure before that, what was stored is removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.effects.door import Effects
from rdctl.net.messages import Blocks
from rdctl.net.transport import READ_SECONDS
from rdctl.oio.chunklists import Exchange, exchange
from rdctl.oio.client import Client
from rdctl.oio.integrity import model
from rdctl.oio.integrity.check import same
from rdctl.oio.integrity.data import Buffer, Data, fragment, nothing, replica, unread
from rdctl.oio.integrity.inspect import Inspection
from rdctl.oio.integrity.journal import Journal, Pair
from rdctl.oio.integrity.model import count
from rdctl.oio.integrity.plan import Plan, Rebuild, total
from rdctl.oio.integrity.spares import New, Spares
from rdctl.oio.model import Container, Content, Namespace, Place
from rdctl.oio.rawx import META, Copy, Owner, Rawx, chunk_headers
from rdctl.oio.routes import since
from rdctl.workers import Stopped, Workers

# How often another service is tried for a chunk.
ATTEMPTS = 3
DELETE_SECONDS = 5.0
# After a lost reply, for a slow server to finish the registration.
SETTLE_SECONDS = 1.0
# After these errors, a chunk may be stored in its own place nevertheless.
_READ_BACK = (Code.EXISTS, Code.UNKNOWN, Code.UNREACHABLE, Code.TIMEOUT)
# States of a chunk that was stored differently from what was sent.
_WRONG = (model.SHORT, model.LONG, model.WRONG_HASH, model.FOREIGN, model.WRONG_POSITION)
# Headers about the chunk itself, not about its object.
_OWN = ("chunk-id", "chunk-pos", "chunk-size", "chunk-hash")


class Means(NamedTuple):
    """What all objects are repaired with. `inspection` reads all data."""

    proxy: Client
    namespace: Callable[[], Namespace]
    rawx: Rawx
    effects: Effects
    workers: Workers
    inspection: Inspection
    journal: Journal
    sleep: Callable[[float], None]


class Mended(NamedTuple):
    """What became of an object: facts about each chunk, and whether the listing confirms it.
    `behind` has the services of replaced chunks that could not be deleted."""

    chunks: list[dict[str, Any]]
    confirmed: bool
    behind: list[str]


class Mending:
    """One object, as `content` describes it. `place` is its name, by which it is shown."""

    def __init__(self, means: Means, place: Place, content: Content, plan: Plan) -> None:
        self._means = means
        self._content = content
        self._place = place
        self._plan = plan
        self._shown = escape(content.path)
        # By its ID, which no other object or version has.
        self._pinned = place._replace(content_id=content.content_id, version=None)
        self._listing = {str(chunk["url"]): chunk for chunk in content.chunks}
        self._spares = Spares(means.proxy, means.namespace, means.effects, place, content, plan)
        # What a failure removes again; of some it is unknown whether they will exist. Those that
        # were stored under their own url are removed only if the object is gone.
        self._stored: dict[str, Copy] = {}
        self._in_place: dict[str, Copy] = {}
        self._unanswered: set[str] = set()
        self._entries: list[str] = []
        # Whether the next repair has to finish this one.
        self._unfinished = False

    def run(self) -> Mended:
        """Carry out the plan. If it raises, nothing that was there is lost."""
        try:
            made = self._begun(self._spares.targets())
            made = [self._made(new) for new in made]
            self._look_again()
            self._register(made)
        except RdctlError as error:
            raise self._undone(error) from error.__cause__
        except Stopped:
            raise self._interrupted() from None
        except Exception:
            self._undone(None)
            raise
        return self._ended(made)

    # --- new chunks ---------------------------------------------------------------------------

    def _begun(self, made: list[New]) -> list[New]:
        """Record in the journal what is going to be stored."""
        pairs = [
            Pair(new.copy.url, new.rebuild.chunk.copy.url if new.rebuild.removes else None)
            for new in made
        ]
        self._entries.append(self._means.journal.begin(self._content, self._place, pairs))
        return made

    def _made(self, new: New) -> New:
        """Store a chunk, on another service if the first ones fail, and read it back."""
        failed: list[New] = []
        while True:
            try:
                self._store(new)
                return new
            except Stopped:
                self._unfinished |= not self._drop(new)
                raise
            except RdctlError as error:
                self._unfinished |= not self._drop(new)
                failed.append(new)
                if new.in_place or len(failed) == ATTEMPTS:
                    raise self._not_stored(error) from error
            (new,) = self._begun(self._spares.others(new.rebuild, failed))

    def _not_stored(self, error: RdctlError) -> RdctlError:
        """The outcome of the chunk does not matter: it was removed. If the object changed in the
        meantime, its sources were deleted, too."""
        try:
            if not same(self._means.proxy.content(self._pinned), self._content):
                return self._changed()
        except RdctlError as second:
            if second.code is Code.NOT_FOUND:
                return self._gone()
        codes = (Code.UNKNOWN, Code.NOT_FOUND, Code.EXISTS)
        code = Code.UNAVAILABLE if error.code in codes else error.code
        message = f"{self._shown}: not repaired: {error.message}"
        return RdctlError(code, message, hint=error.hint, **error.facts)

    def _store(self, new: New) -> None:
        faults: list[RdctlError] = []
        for data in self._data_of(new.rebuild):
            try:
                self._put(new, data)
                self._read_back(new, data)
                return
            except RdctlError as error:
                # Another source does not help if the service is the one that fails.
                if error.code is not Code.BAD_REPLY or not self._drop(new):
                    raise
                faults.append(error)
        raise faults[0]

    def _data_of(self, rebuild: Rebuild) -> Iterator[Data]:
        position = rebuild.position
        if not position.size:
            yield nothing()
            return
        if rebuild.metachunk is not None:
            target, scheme = rebuild.chunk.copy, position.scheme
            if self._means.effects.dry_run:
                yield unread(target, rebuild.size)
            else:
                yield fragment(rebuild.metachunk, scheme, target, rebuild.size)
            return
        for source in rebuild.sources:
            yield replica(
                self._means.rawx,
                source,
                position.size,
                position.hash,
                self._means.workers.check,
            )

    def _put(self, new: New, data: Data) -> None:
        rebuild, dry_run = new.rebuild, self._means.effects.dry_run
        headers = {META + name: value for name, value in self._headers(rebuild).items()}
        headers |= {
            f"{META}chunk-pos": rebuild.chunk.copy.pos,
            f"{META}chunk-id": new.copy.id,
            f"{META}chunk-hash": data.hash,
        }
        if rebuild.position.scheme.k:
            headers[f"{META}metachunk-size"] = str(rebuild.position.size)
            headers[f"{META}metachunk-hash"] = rebuild.position.hash
        self._stored[new.copy.url] = new.copy
        self._unanswered.add(new.copy.url)
        sent = 0

        def blocks() -> Iterator[Buffer]:
            nonlocal sent
            for block in data.blocks():
                sent += len(block)
                yield block

        try:
            self._means.rawx.put(
                new.copy,
                headers,
                Blocks(blocks() if not dry_run else (), data.size, data.shell),
                what=self._sentence(new),
                seconds=READ_SECONDS,
                check=self._means.workers.check,
                step=not dry_run,
            )
        except RdctlError as error:
            if "http_status" in error.facts or error.code is Code.UNREACHABLE:
                self._unanswered.discard(new.copy.url)
            if error.code is Code.EXISTS:  # that of another repair
                del self._stored[new.copy.url]
            if new.in_place and error.code in _READ_BACK:
                return  # what is read back decides
            raise
        except Stopped:
            if sent < data.size:  # no rawx keeps a part
                self._unanswered.discard(new.copy.url)
            raise
        self._unanswered.discard(new.copy.url)

    def _sentence(self, new: New) -> str:
        rebuild = new.rebuild
        old, size = rebuild.chunk.copy, count(rebuild.size, "byte")
        names = ", ".join(one.copy.address for one in rebuild.sources)
        origin = f" from {names}," if names else ""
        where = "in its own place" if new.in_place else f"in place of that on {old.address}"
        return f"rebuild chunk {old.pos} of {self._place.described} ({size}){origin} {where}"

    def _headers(self, rebuild: Rebuild) -> Mapping[str, str]:
        """What all chunks of the position have in common, as another one has it."""
        chunks = [*rebuild.sources, *rebuild.position.chunks]
        for chunk in chunks:
            if chunk.held is not None and chunk.state == model.GOOD and chunk.held.meta:
                meta = chunk.held.meta.items()
                return {name: value for name, value in meta if name not in _OWN}
        container: Container = self._means.proxy.read("container.show", self._place.holder)
        account = container.account or str(self._place.account)
        owner = Owner(account, container.container, container.cid or "")
        named = self._place._replace(path=self._content.path)
        headers = chunk_headers(self._content, named, owner)
        return {name.removeprefix(META): value for name, value in headers.items()}

    def _read_back(self, new: New, data: Data) -> None:
        """Raise unless the service returns what was sent, as a chunk of this object."""
        if self._means.effects.dry_run:
            return
        listed = self._content._replace(chunks=[self._spares.chunk_of(new)])
        (position,) = self._means.inspection.inspect(listed).positions
        (found,) = position.chunks
        held = found.held
        if found.state == model.UNREACHABLE:
            raise RdctlError(Code.UNREACHABLE, found.message)
        if new.in_place and found.state == model.MISSING:
            raise RdctlError(Code.UNAVAILABLE, f"{new.copy.url}: not stored: {found.message}")
        if found.state != model.GOOD or held is None or held.md5 != data.hash:
            if new.in_place and found.state in _WRONG:
                self._delete(new.copy)
            message = f"{new.copy.url}: stored, but damaged when read back: {found.message}"
            raise RdctlError(Code.FAILED, message)
        if new.in_place and new.copy.url in self._stored:
            del self._stored[new.copy.url]
            self._in_place[new.copy.url] = new.copy

    # --- the list of chunks -------------------------------------------------------------------

    def _listed(self) -> set[str]:
        """The urls that are registered for the object now; `conflict` if it is another one, or
        gone."""
        try:
            now = self._means.proxy.content(self._pinned)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                raise self._gone() from error
            raise
        if (now.content_id, now.version) != (self._content.content_id, self._content.version):
            raise self._gone()
        return {str(chunk["url"]) for chunk in now.chunks}

    def _gone(self) -> RdctlError:
        """The object does not exist now, and nothing that was stored for it is needed."""
        self._stored |= self._in_place
        return self._changed()

    def _changed(self) -> RdctlError:
        message = f"{self._shown}: not repaired: the object changed in the meantime"
        hint = "It was replaced, deleted, or repaired by another client. Run the command again."
        return RdctlError(Code.CONFLICT, message, hint=hint)

    def _look_again(self) -> None:
        """Raise if a chunk that is replaced is no longer registered."""
        if self._means.effects.dry_run:
            return
        listed = self._listed()
        gone = {one.chunk.copy.url for one in self._plan.rebuilds} - listed
        if gone:
            self._stored |= {url: one for url, one in self._in_place.items() if url in gone}
            raise self._changed()

    def _register(self, made: Sequence[New]) -> None:
        """Exchange the chunks in one transaction, which fails if one of them was exchanged before.
        A lost reply leaves its outcome to the list."""
        moved = [new for new in made if not new.in_place]
        if not moved:
            return
        dry_run = self._means.effects.dry_run
        rebuilds = [new.rebuild for new in moved]
        pairs = [
            Exchange(
                content_id=self._content.content_id,
                old=self._listing[new.rebuild.chunk.copy.url],
                new=self._spares.chunk_of(new),
            )
            for new in moved
        ]
        try:
            exchange(
                self._means.proxy,
                self._database(),
                pairs,
                what=f"register {total(rebuilds)} rebuilt for {self._place.described}",
                shows=f"rdctl oio content show {self._place.words}",
                destroys="the registration of the chunks that they replace",
                step=dry_run,
            )
        except RdctlError as error:
            self._settle(moved, error)

    def _database(self) -> Place:
        """The container, and for a proxy 2025 the object: if the container is sharded, its name
        says which shard has its rows."""
        sharded = self._means.proxy.detect() in since("2025")
        return self._place.holder._replace(path=self._content.path if sharded else None)

    def _settle(self, moved: Sequence[New], error: RdctlError) -> None:
        """After a failed registration: return if the new chunks are listed nevertheless. A proxy
        repeats a request to a meta2 that does not answer, and reports that the old ones are not
        found if the first one was carried out."""
        replaced = error.code is Code.NOT_FOUND
        if error.code is Code.UNKNOWN:
            self._means.sleep(SETTLE_SECONDS)
        try:
            listed = self._listed()
        except RdctlError as second:
            if second.code is Code.CONFLICT:
                raise
            if replaced or error.code is Code.UNKNOWN:  # it is unknown which side is listed
                self._stored.clear()
                self._unfinished = True
            if error.code is Code.UNKNOWN:
                error.hint = "Run the command again: it finishes this repair first."
            raise (self._changed() if replaced else error) from second
        if all(new.copy.url in listed for new in moved):
            return
        if replaced and any(new.rebuild.chunk.copy.url in listed for new in moved):
            # The list contradicts the refusal: it is late.
            self._stored.clear()
            self._unfinished = True
        self._keep(listed)
        if replaced:
            raise self._changed() from error
        if error.code is Code.UNKNOWN:
            message = f"{self._shown}: not repaired: the new chunks are not registered"
            raise RdctlError(Code.UNAVAILABLE, message, hint="Run the command again.") from error
        raise error

    # --- the end ------------------------------------------------------------------------------

    def _ended(self, made: Sequence[New]) -> Mended:
        """Remove what was replaced, once the list confirms that."""
        listed, confirmed = self._confirmed(made)
        removed = {
            new.copy.url: new.rebuild.removes and confirmed and self._removed(new, listed)
            for new in made
        }
        if not confirmed:
            self._unfinished = True
        self._close()
        return Mended(
            chunks=[_fact(new, removed[new.copy.url]) for new in made],
            confirmed=confirmed,
            behind=[
                new.rebuild.chunk.copy.address
                for new in made
                if new.rebuild.removes and not removed[new.copy.url]
            ],
        )

    def _confirmed(self, made: Sequence[New]) -> tuple[set[str], bool]:
        if self._means.effects.dry_run:
            return {new.copy.url for new in made}, True
        try:
            listed = self._listed()
        except RdctlError as error:
            if error.code is not Code.CONFLICT:
                return set(), False
            raise self._undone(error) from error.__cause__
        missing = [new for new in made if new.copy.url not in listed]
        if any(new.rebuild.chunk.copy.url in listed for new in missing):
            return listed, False  # it is older than the registration
        if missing:
            self._keep(listed)
            raise self._undone(self._changed())
        return listed, True

    def _keep(self, listed: set[str]) -> None:
        """Do not remove what is registered."""
        self._stored = {url: one for url, one in self._stored.items() if url not in listed}

    def _removed(self, new: New, listed: set[str]) -> bool:
        """Delete the replaced chunk: whether it is gone. One that cannot be reached stays in the
        journal."""
        old = new.rebuild.chunk.copy
        if old.url in listed:
            return False
        try:
            self._means.rawx.delete(old, DELETE_SECONDS)
        except RdctlError:
            self._unfinished = True
            return False
        return True

    def _drop(self, new: New) -> bool:
        """Remove a chunk that was stored: whether it is certainly gone. One in its own place is
        kept: it may belong to another repair."""
        copy = self._stored.pop(new.copy.url, None)
        if copy is not None and new.in_place:
            self._in_place[copy.url] = copy
            return copy.url not in self._unanswered
        return copy is None or self._delete(copy)

    def _delete(self, copy: Copy) -> bool:
        try:
            was_there = self._means.rawx.delete(copy, DELETE_SECONDS)
        except RdctlError:
            return False
        return was_there or copy.url not in self._unanswered

    def _undone(self, error: RdctlError | None) -> RdctlError:
        """The error, after what was stored was removed again. What cannot be removed stays in the
        journal."""
        left = [copy.url for copy in self._stored.values() if not self._delete(copy)]
        self._unfinished = self._unfinished or bool(left)
        self._close()
        error = error or RdctlError(Code.INTERRUPTED, f"{self._shown}: interrupted")
        if left:
            error.message += f"; {count(len(left), 'new chunk')} could not be removed yet"
            error.facts["chunks"] = left
        return error

    def _interrupted(self) -> RdctlError:
        error = self._undone(None)
        if not self._unfinished:
            error.message += " (partial data removed)"
            self._means.effects.undone.append(f"repair {self._shown}")
        return error

    def _close(self) -> None:
        """A line that cannot be written is harmless: the next repair examines the chunks again."""
        if not self._unfinished:
            with suppress(RdctlError):
                for id in self._entries:
                    self._means.journal.end(id)


def _fact(new: New, removed: bool) -> dict[str, Any]:
    rebuild = new.rebuild
    return {
        "pos": rebuild.chunk.copy.pos,
        "state": rebuild.chunk.state,
        "bytes": rebuild.size,
        "from": [one.copy.url for one in rebuild.sources],
        "to": new.copy.url,
        "replaces": rebuild.chunk.copy.url,
        "removed": removed,
    }


def facts_of(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    listed = list(chunks)
    return {
        "rebuilt": len(listed),
        "bytes": sum(int(chunk["bytes"]) for chunk in listed),
        "chunks": listed,
    }
