"""The contents of volumes: saved to image files, and loaded from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Failure, Report, literal
from rdctl.core.units import escape, operand, quoted
from rdctl.effects.images import Made
from rdctl.rapiddisk.changes import Changes, Dependencies, find, unproven, unseen
from rdctl.rapiddisk.files import Files, FilesHere, ImageTarget, out_of_time
from rdctl.rapiddisk.guards import Facts, Overrides
from rdctl.rapiddisk.imagefile import ImageFile, checked, fault
from rdctl.rapiddisk.images import Images, check_whole
from rdctl.rapiddisk.memory import guard_use
from rdctl.rapiddisk.model import Volume
from rdctl.rapiddisk.names import volume_name
from rdctl.rapiddisk.volumes import removal_loss


def _no_limit() -> None:
    """The work takes as long as it has to: at boot, at shutdown, and after an erase."""


class Contents(Changes):
    def __init__(self, means: Dependencies) -> None:
        super().__init__(means)
        self._left = means.left
        self._files: Files = means.away or FilesHere(means.backend)
        # Raises when the time limit is over.
        self._check_time: Callable[[], None] = _no_limit

    # --- commands -----------------------------------------------------------------------------

    def save(
        self, name: str, path: str, overrides: Overrides, *, overwrite: bool, home: str | None
    ) -> Report:
        """The contents of a volume become an image file."""
        name = volume_name(name)
        self._permit("saving contents")
        _refuse_stream(path)
        facts = self._facts([name], overrides)
        volume = self._savable(facts, name)
        target = self._files.target(name, path, replace=overwrite, home=home)
        self._effects.foretell([f"save {name} to {escape(path)}"])
        with self._backend.claim([]) as alone:
            if alone:
                volume = self._savable(self._facts([name], overrides), name)
            with self._in_time(f"saving {name} to {escape(path)}"):
                made = self.write_image(name, target)
        facts_of = {"size": volume.size, "stored": made.stored, "file": path, "sha256": made.digest}
        return self._done("save", name, f"saved {{}} to {literal(escape(path))}", facts_of)

    def load(
        self,
        path: str,
        name: str,
        overrides: Overrides,
        warn: Callable[[str], None],
        *,
        overcommit: bool,
    ) -> Report:
        """A volume gets the contents of an image file; what it holds is lost."""
        name = volume_name(name)
        self._permit("loading contents")
        _refuse_stream(path)
        facts = self._facts([name], overrides)
        volume = self._loadable(facts, name)
        with self._in_time(f"reading {escape(path)}"):
            image = self._files.image(path, volume.size or 0, name, self._begun)
        if not image.verified:
            warn(f"{escape(path)} was not verified: it has no {escape(path)}.sha256")
        if not overcommit:
            guard_use(self._backend.memory(), name, image.used, volume.usage or 0)
        loss = None
        if volume.usage != 0:
            loss = f"{removal_loss(volume, 'ERASED')} and loaded from {escape(path)}"
            self._consent([*facts.only_copies([volume]), loss], facts)
        self._effects.foretell([f"load {name} from {escape(path)}"])
        with self._backend.claim([]) as alone:
            if alone:
                volume = self._loadable(self._facts([name], overrides), name)
            with (
                self._backend.claim([name]),
                self._effects.transaction(f"load {name} from {escape(path)}"),
            ):
                self.fill(name, image, loss)
        kept = None if self._effects.dry_run else Images(self._backend).of(name).image
        loaded = [file for file, _ in image.recorded]
        if kept is not None and kept not in loaded and self._backend.host().has(kept):
            save = f"rdctl rapiddisk save {operand(name)} {quoted(kept)} --overwrite"
            warn(
                f"{name} now differs from its image {escape(kept)}, which the next shutdown does"
                f" not replace; to replace it: {self._aimed(save)}"
            )
        return self._loaded(name, image)

    def _permit(self, what: str) -> None:
        self._backend.here(what)
        self._backend.permit()

    def _savable(self, facts: Facts, name: str) -> Volume:
        volume: Volume = find(facts.inventory.volumes, name, "volume")
        facts.guard_reading(volume)
        check_whole(name, Images(self._backend).of(name))
        return volume

    def _loadable(self, facts: Facts, name: str) -> Volume:
        volume: Volume = find(facts.inventory.volumes, name, "volume")
        facts.guard(volume)
        facts.guard_contents(volume)
        return volume

    def _loaded(self, name: str, image: ImageFile) -> Report:
        facts = {"size": image.size, "used": image.used, "file": image.name, "sha256": image.digest}
        past = f"loaded {{}} from {literal(escape(image.name))}"
        if not self._effects.dry_run:
            after = self._look_again()
            if isinstance(after, RdctlError):
                return Report([Failure("load", unseen(name, after))])
            found = next((volume for volume in after.volumes if volume.device == name), None)
            if found is None or (found.usage is not None and found.usage < image.used):
                error = unproven(name, "the listing does not confirm it")
                return Report([Failure("load", error)])
        return self._done("load", name, past, facts)

    def _done(self, action: str, name: str, past: str, facts: Mapping[str, object]) -> Report:
        sure = None if self._effects.dry_run else True
        if self._effects.dry_run:
            facts = {key: facts[key] for key in ("size", "file")}
        return Report([Change(action, name, sure, sure, facts, past)])

    # --- single acts --------------------------------------------------------------------------

    def check_image(
        self, path: str, room: int, name: str | None = None, volume: str = "the volume"
    ) -> ImageFile:
        """The image at the path, which is read once. `name` is its path for people, which is
        recorded. Raises RdctlError when it cannot be loaded into so many bytes."""
        return checked(path, name or path, room, volume, self._begun)

    def write_image(self, volume: str, target: ImageTarget) -> Made:
        """Save a volume, and record where if that is on its machine; guards and consent are up to
        the caller."""
        size = self._backend.size_of(volume) or 0
        try:
            with self._stoppable():
                made = self._backend.save_contents(volume, target, self._begun(size))
        except OSError as error:
            raise fault(error, target.name) from error
        if target.recorded is not None:
            images = Images(self._backend)
            record = images.of(volume).having(target.recorded, made.digest)
            images.keep(volume, record, required=False)
        return made

    def fill(
        self, volume: str, image: ImageFile, loss: str | None = None, *, new: bool = False
    ) -> None:
        """Load a volume: part of a transaction, whose rollback erases it. `loss` names contents,
        which are erased before; without it the volume has to be empty, as a `new` one is. Until all
        is written, the record has that the volume is not whole."""
        if loss is None and not new:
            self._guard_empty(volume)
        images = Images(self._backend)
        former = images.of(volume)
        # Lasting: the rollback may fail to erase what was written, or an empty volume may be left.
        images.keep(volume, former._replace(whole=False), lasting=True)
        with self._named_if_empty(volume):
            if loss is not None:
                try:
                    self._backend.erase(volume, loss)
                except RdctlError:  # nothing was lost
                    images.keep(volume, former, lasting=True)
                    raise
            with self._stoppable():
                self._backend.load_contents(volume, image, self._begun(image.size))
            images.keep(volume, former._replace(whole=True, files=image.recorded))

    def _guard_empty(self, volume: str) -> None:
        """The counters do not prove that it is: a refused erase sets them to 0."""
        if self._backend.is_empty_behind(volume, 0) is False:
            raise RdctlError(
                Code.NOT_EMPTY,
                f"{volume} holds data, although the kernel counts none",
                hint=f"Erase it first: rdctl rapiddisk flush {operand(volume)}",
                target=volume,
            )

    @contextmanager
    def _named_if_empty(self, volume: str) -> Iterator[None]:
        """If it fails when the contents are erased, say so."""
        begun = len(self._effects.done)
        try:
            yield
        except BaseException as error:
            if f"erase {volume}" in self._effects.done[begun:]:
                if isinstance(error, RdctlError):
                    error.message += f"; {volume} is now empty"
                    again = "Its former contents were erased before."
                    error.hint = hints(error.hint, again)
                else:
                    self._effects.left.append(f"the contents of {volume}, which is now empty")
            raise

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        from rdctl.workers import Stopped

        try:
            yield
        except Stopped:
            ended = self._workers().ended_by
            raise RdctlError(ended, ended.word) from None

    @contextmanager
    def _in_time(self, what: str) -> Iterator[None]:
        """The work within ends with the time limit of the command."""

        def check() -> None:
            if self._left() == 0.0:
                raise out_of_time(what)

        self._check_time = check
        try:
            yield
        finally:
            self._check_time = _no_limit

    def _begun(self, size: int) -> Callable[[int], None]:
        """Show the progress of so many bytes; what is returned takes it, and ends the work when the
        process ends."""
        workers, check_time = self._workers(), self._check_time
        workers.progress.begin(size, "bytes")

        def step(count: int) -> None:
            workers.check()
            check_time()
            workers.progress.advance(count)

        return step


def _refuse_stream(path: str) -> None:
    if path == "-":
        raise RdctlError(
            Code.USAGE,
            "standard input and output cannot hold an image: FILE must be a regular file",
            hint="For a file of that name use ./-",
        )
