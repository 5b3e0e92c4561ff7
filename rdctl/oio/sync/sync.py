"""A folder and a container, or a part of one, made the same in one direction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Report
from rdctl.core.units import escape
from rdctl.oio.acts import OioDependencies
from rdctl.oio.model import Place
from rdctl.oio.objects.download import Below, Downloads
from rdctl.oio.objects.files import Where, files_below, is_part, parts_of
from rdctl.oio.objects.inputs import File, Naming, files_of
from rdctl.oio.objects.upload import Uploads, Wish
from rdctl.oio.sync.choice import Choice
from rdctl.oio.sync.deleting import Deletions, complete, counted
from rdctl.oio.sync.filters import warn_unmatched
from rdctl.oio.sync.journal import Given, Journal, folder_of, journaled
from rdctl.oio.sync.listing import Objects, all_below, all_named
from rdctl.oio.sync.model import Remote
from rdctl.oio.sync.surplus import Limit, Surplus, removed, without_file, without_object


class Ends(NamedTuple):
    """The two ends of a sync. `prefix` is empty, or ends with a slash."""

    folder: str
    holder: Place
    prefix: str

    @property
    def shown(self) -> str:
        """The objects, for a message."""
        below = f' with prefix "{escape(self.prefix)}"' if self.prefix else ""
        return f'in container "{self.holder.shown}"{below}'

    def named(self) -> dict[str, Any]:
        """The ends in the first line of a journal."""
        return {
            "account": self.holder.account,
            "container": self.holder.container,
            "prefix": self.prefix,
            "folder": folder_of(self.folder),
        }


class Asked(NamedTuple):
    """How to make them the same; `again` is the command that continues it; `limit` None: without
    --delete."""

    choice: Choice
    again: str
    limit: Limit | None = None
    journal: Given | None = None
    home: str | None = None

    @property
    def named(self) -> dict[str, Any]:
        """What changes the result, in the first line of a journal."""
        filters = self.choice.filters
        return {
            "checksum": self.choice.checksum,
            "include": [glob.pattern for glob in filters.include],
            "exclude": [glob.pattern for glob in filters.exclude],
        }


Outcomes = Iterator[Change | Failure]


class Syncs(Deletions):
    """`content sync` in both directions."""

    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._means = means

    def upload(self, ends: Ends, asked: Asked, wish: Wish, stdin: Any) -> Report:
        """Make the container what the folder is."""
        _refuse_no_folder(ends.folder)

        def act(choice: Choice) -> Report:
            naming = Naming({}, None, ends.prefix, choice.filters)
            found, refused, names = files_of(ends.holder, [ends.folder], naming, True, self._warn)
            files = self._without_parts(found)
            objects = self._objects(ends)
            if not refused and objects.complete:
                names += [one.name.removeprefix(ends.prefix) for one in objects.remotes]
                warn_unmatched(choice.filters, names, self._warn)
            surplus: list[Remote] = []
            if asked.limit and not refused:
                surplus = self._without_file(ends, asked.limit, naming, files, objects)
            elif objects.fault is not None:
                complete(objects, ends.holder)
            folder = escape(ends.folder)
            loss = f"{counted(surplus)} {ends.shown} without a file in {folder} will be deleted"
            report = Uploads(self._means).upload(
                ends.holder,
                files,
                refused,
                wish=wish,
                choice=choice,
                own={},
                stdin=stdin,
                existing={remote.name: remote for remote in objects.remotes},
                losses_after=[loss] if surplus else [],
            )

            def delete() -> Outcomes:
                left = without_file(surplus, ends.folder, ends.prefix, ())
                return iter(self.deleted(ends.holder, left) if left else ())

            return self._then(report, delete, asked)

        return self._kept("upload", ends, asked, {"policy": wish.policy}, act)

    def download(self, ends: Ends, asked: Asked) -> Report:
        """Make the folder what the container is."""
        if os.path.lexists(ends.folder):
            _refuse_no_folder(ends.folder)

        def act(choice: Choice) -> Report:
            downloads = Downloads(self._means)
            downloads.again = asked.again
            where = Where(ends.folder, directory=True, strip=ends.prefix, home=asked.home)
            whole = downloads.below(ends.holder, ends.prefix or None)
            below = whole.taken(choice.filters, ends.prefix)
            found, unread = _files(ends.folder)
            incomplete = bool(whole.missing or unread)
            if asked.limit and incomplete:
                self._warn("nothing will be deleted: the listing is incomplete")
            if not incomplete:
                names = [local.name for local in found] + whole.names(ends.prefix)
                warn_unmatched(choice.filters, names, self._warn)
            surplus, losses = without_object(ends.folder, [], ()), list[str]()
            if asked.limit and not incomplete:
                mine = [local for local in found if choice.filters.takes(local.name)]
                surplus = without_object(ends.folder, mine, _paths(where, whole))
                _refuse_empty(below.places, surplus.files, f"no objects {ends.shown}")
                shown = f"in {escape(ends.folder)}"
                asked.limit.check(len(surplus.files), len(mine), "files", shown)
                loss = f"{surplus.shown} {shown} without an object {ends.shown} will be deleted"
                losses += [loss] if surplus.files else []
            report = downloads.get(
                below,
                where,
                None,
                overwrite=True,
                resume=choice.resumes,
                choice=choice,
                losses_after=losses,
            )

            def delete() -> Outcomes:
                return removed(ends.folder, self._still(ends, surplus), self._effects)

            return self._then(report, None if incomplete else delete, asked)

        return self._kept("download", ends, asked, {}, act)

    def _kept(
        self,
        direction: str,
        ends: Ends,
        asked: Asked,
        described: dict[str, Any],
        act: Callable[[Choice], Report],
    ) -> Report:
        transfer = {
            "action": "sync",
            "direction": direction,
            "namespace": self._proxy.namespace,
            **ends.named(),
            **asked.named,
            **described,
        }
        if asked.journal is not None:
            _refuse_inside(ends.folder, asked.journal.path)

        def with_journal(journal: Journal | None) -> Report:
            return act(asked.choice._replace(journal=journal))

        return journaled(asked.journal, self._effects, transfer, with_journal)

    def _objects(self, ends: Ends) -> Objects:
        """The objects at the destination; none if the container does not exist, which the upload
        refuses or changes."""
        self._proxy.suggests = False
        try:
            return all_below(self._proxy, ends.holder, ends.prefix or None)
        except RdctlError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return Objects([], 0, None)

    def _without_parts(self, files: Sequence[File]) -> list[File]:
        """The files but for parts of downloads, of which a warning tells: the names may be those of
        files of the user."""
        for file in files:
            if is_part(file.name):
                self._warn(f"{escape(file.path)}: skipped: named like an incomplete download")
        return [file for file in files if not is_part(file.name)]

    def _without_file(
        self, ends: Ends, limit: Limit, naming: Naming, files: Sequence[File], objects: Objects
    ) -> list[Remote]:
        """The objects that will be deleted, unless that is refused."""
        listed = complete(objects, ends.holder)
        mine = [remote for remote in listed if naming.takes(remote.name)]
        names = {file.name for file in files}
        surplus = without_file(mine, ends.folder, ends.prefix, names)
        _refuse_empty(files, surplus, f"no files in {escape(ends.folder)}")
        limit.check(len(surplus), len(mine), "objects", ends.shown)
        return surplus

    def _still(self, ends: Ends, surplus: Surplus) -> Surplus:
        """Without the files of which an object was created since the listing."""
        names = [ends.prefix + local.name for local in surplus.files]
        if not names or self._effects.dry_run:
            return surplus
        now = all_named(self._proxy, self._workers, ends.holder, names)
        left = [local for local in surplus.files if ends.prefix + local.name not in now]
        return surplus._replace(files=left)

    def _then(self, report: Report, delete: Callable[[], Outcomes] | None, asked: Asked) -> Report:
        """The outcomes of the transfers, and if none has failed, those of the deletions. None: a
        warning has said that nothing is deleted."""

        def outcomes() -> Outcomes:
            failed = 0
            for outcome in report:
                if isinstance(outcome, Failure):
                    failed += 1
                    if outcome.error.code is Code.INTERRUPTED:
                        outcome.error.hint = f"Resume: {asked.again}"
                yield outcome
            if delete is None:
                return
            if not failed:
                yield from delete()
            elif asked.limit:
                self._warn("nothing was deleted, as not all transfers succeeded")

        return Report(outcomes(), report.since, report.past)


def _files(folder: str) -> tuple[list[Any], bool]:
    """The files of a folder but for parts of downloads, and whether something in it cannot be
    read."""
    if not os.path.lexists(folder):
        return [], False
    found, unread = files_below(folder, lambda message: None)
    return [local for local in found if not is_part(local.name)], bool(unread)


def _paths(where: Where, below: Below) -> set[str]:
    """The paths of objects in the folder."""
    paths = set()
    for place in below.places:
        try:
            paths.add("/".join(parts_of(where, place.name)))
        except RdctlError:
            continue  # reported when it is downloaded
    return paths


def _refuse_no_folder(folder: str) -> None:
    if not os.path.isdir(folder):
        exists = os.path.lexists(folder)
        code = Code.CONFLICT if exists else Code.NOT_FOUND
        message = f"{escape(folder)}: {'not a directory' if exists else 'not found'}"
        raise RdctlError(code, message, target=folder)


def _refuse_empty(source: Sequence[object], surplus: Sequence[object], what: str) -> None:
    """Refuse to delete all because the source is empty: it may be the wrong one, or a file system
    that is not mounted."""
    if surplus and not source:
        raise RdctlError(
            Code.CONFLICT,
            f"{what}: --delete would delete everything at the destination",
            hint="Nothing was changed. Check SOURCE. If this is correct, delete without sync: rm,"
            " rdctl oio content delete --recursive",
        )


def _refuse_inside(folder: str, journal: str) -> None:
    """Refuse a journal that would be transferred itself, or deleted."""
    inside = os.path.realpath(journal).startswith(os.path.join(os.path.realpath(folder), ""))
    if inside:
        message = f"{escape(journal)}: the journal must not be in the folder that is synced"
        raise RdctlError(Code.USAGE, message, target=journal)
