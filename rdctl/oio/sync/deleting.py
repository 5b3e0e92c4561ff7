"""Deletion of many objects of a listing: complete, counted, confirmed once, and looked at again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Report
from rdctl.core.units import escape, human_size, raw_bytes
from rdctl.oio.acts import ALREADY, PROVEN, Acts, Evidence, batches
from rdctl.oio.model import Container, Place
from rdctl.oio.objects.transfers import changed
from rdctl.oio.operations.container import refuse_frozen
from rdctl.oio.operations.versions import ending
from rdctl.oio.sync.compare import is_unchanged
from rdctl.oio.sync.filters import Glob
from rdctl.oio.sync.listing import Objects, all_below, all_named
from rdctl.oio.sync.model import Remote


class Selection(NamedTuple):
    """Objects of a container: their names begin with `prefix` and match `glob`, as far as these
    are given."""

    prefix: str = ""
    glob: str | None = None

    def shown(self, count: int = 0) -> str:
        """` with prefix "a/" that match "*.txt"`, of so many objects."""
        prefix = f' with prefix "{escape(self.prefix)}"' if self.prefix else ""
        match = "matches" if count == 1 else "match"
        return prefix + (f' that {match} "{escape(self.glob)}"' if self.glob is not None else "")


class Deletions(Acts):
    """What is deleted because a listing has it."""

    def selected(self, holder: Place, selection: Selection) -> Report:
        """Delete the objects of a selection. What is deleted is known only from the whole listing:
        if any of it cannot be read, nothing is deleted."""
        shown: Container = self._proxy.read("container.show", holder)
        refuse_frozen(holder, shown.status)
        self._workers.progress.begin(None, "objects")
        listed = complete(all_below(self._proxy, holder, selection.prefix or None), holder)
        _refuse_others(listed, holder, selection.prefix)
        self._workers.progress.end()
        if selection.glob is not None:
            glob = Glob(selection.glob)
            listed = [remote for remote in listed if glob.matches(remote.name)]
        if not listed and selection.shown():
            message = f'objects{selection.shown()} not found in container "{holder.shown}"'
            raise RdctlError(Code.NOT_FOUND, message, target=holder.name)
        those = selection.shown(len(listed))
        what = f'{counted(listed)}{those} in container "{holder.shown}"'
        end = ending(self._proxy, holder, shown) if listed else ""
        self._effects.consent([f"{what} will be deleted{end}"] if listed else [])
        return self.deleted(holder, listed)

    def deleted(self, holder: Place, listed: Sequence[Remote]) -> Report:
        """Delete objects after confirmation. Those that changed since they were listed stay."""
        by_name = {remote.name: remote for remote in listed}

        def delete(batch: Sequence[Place]) -> Iterator[Change | Failure]:
            found = self._again(holder, [by_name[place.name] for place in batch])
            left = [place for place in batch if place.name not in found]
            outcomes = self._delete(left) if left else iter(())
            for place in batch:
                yield found.get(place.name) or next(outcomes)

        places = [holder._replace(path=remote.name) for remote in listed]
        return self._in_turn("delete", batches(places), delete)

    def _again(self, holder: Place, batch: Sequence[Remote]) -> Mapping[str, Change | Failure]:
        """The outcomes of the objects that are not the listed ones any longer. To delete an object
        that has been deleted meanwhile could remove its delete marker, which restores it."""
        if self._effects.dry_run:
            return {}
        current = all_named(self._proxy, self._workers, holder, [one.name for one in batch])
        found: dict[str, Change | Failure] = {}
        for remote in batch:
            now = current.get(remote.name)
            if now is None:
                found[remote.name] = self._done("delete", remote.name, ALREADY)
            elif not is_unchanged(now, remote):
                place = holder._replace(path=remote.name)
                found[remote.name] = Failure("delete", changed(place, "deleted"))
        return found

    def _delete(self, batch: Sequence[Place]) -> Iterator[Change | Failure]:
        holder = batch[0].holder
        if self._proxy.offers("content.delete_many"):
            return self._batch(
                "delete",
                "content.delete_many",
                batch,
                holder.query(),
                lambda outcome: None,
                destroys=f'{len(batch)} objects in container "{holder.shown}"',
            )

        def delete(place: Place) -> Evidence:
            self._change("content.delete", place, destroys=place.described)
            return PROVEN

        return (self._outcome("delete", place, delete) for place in batch)


def complete(objects: Objects, holder: Place) -> list[Remote]:
    """The objects of a whole listing; raises why it is not whole."""
    if objects.fault is not None:
        objects.fault.message = f"{holder.shown}: incomplete listing: {objects.fault.message}"
        raise objects.fault
    if objects.skipped:
        noun = "object" if objects.skipped == 1 else "objects"
        message = f"{holder.shown}: {objects.skipped} {noun} with unreadable names in the listing"
        raise RdctlError(Code.BAD_REPLY, message, hint="Nothing was changed.", target=holder.name)
    return objects.remotes


def _refuse_others(listed: Sequence[Remote], holder: Place, prefix: str) -> None:
    """Refuse a listing of other objects than those that were requested."""
    start = raw_bytes(prefix)
    for remote in listed:
        if not raw_bytes(remote.name).startswith(start):
            message = f'{holder.shown}: the listing of "{escape(prefix)}" has other objects'
            raise RdctlError(Code.BAD_REPLY, f"{message}: {escape(remote.name)}")


def counted(listed: Sequence[Remote]) -> str:
    """`32 objects (305.2 MiB)`; without the size, if it is not known of all."""
    noun = "object" if len(listed) == 1 else "objects"
    sizes = [remote.size for remote in listed if remote.size is not None]
    known = f" ({human_size(sum(sizes))})" if len(sizes) == len(listed) else ""
    return f"{len(listed)} {noun}{known}"
