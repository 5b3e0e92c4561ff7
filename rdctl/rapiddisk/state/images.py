"""The steps for images: the contents of a volume are loaded from its image, or only recorded to be
saved there. What is in a volume is never replaced, but for what an interrupted load left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import literal
from rdctl.core.units import MIB, escape, human_size
from rdctl.rapiddisk.images import (
    ImageRecord,
    Images,
    about,
    check_place,
    check_whole,
    comes_from,
    unrelated,
)
from rdctl.rapiddisk.model import Volume
from rdctl.rapiddisk.state.compare import Difference
from rdctl.rapiddisk.state.model import VolumeState
from rdctl.rapiddisk.state.plan import Refusal, Stage, Step, Work

if TYPE_CHECKING:
    from rdctl.rapiddisk.imagefile import ImageFile


def plan(work: Work, wanted: VolumeState, differing: Iterable[Difference]) -> list[Step | Refusal]:
    """Raises if the contents of the volume must not change, or the image cannot be loaded."""
    keys = {one.key for one in differing}
    new = None in keys and wanted.image is not None
    if work.options.only == "caches" or not (new or "image" in keys):
        return []
    return list(_plan(work, wanted))


def _plan(work: Work, wanted: VolumeState) -> Iterator[Step | Refusal]:
    name, path = wanted.name, wanted.image
    record = work.comparison.there.images.get(name, ImageRecord())
    if path is None:
        was = escape(record.image or "")
        yield _keep(wanted, work, f"no longer keep the contents of volume {name} in {was}")
        return
    check_place(work.backend, name, path)
    volume = work.comparison.there.volumes.get(name)
    empty = volume is None or _is_empty(work, volume)
    keeping = _keep(wanted, work, _recording(wanted))
    if not work.backend.host().has(path):
        check_whole(name, record)
        yield keeping
        if empty and work.options.boot:
            yield Refusal("image", name, _missing(wanted))
    elif empty or not record.whole:
        yield _load(work, wanted, path, volume)
    elif comes_from(work.backend, path, record):
        yield keeping
    else:
        raise unrelated(name, path)


def noted(work: Work, wanted: VolumeState) -> list[Step]:
    """At boot the image of a volume is recorded even if it was refused, so that a dump has it. What
    differs stays so."""
    record = work.comparison.there.images.get(wanted.name, ImageRecord())
    if wanted.image is None or record.image == wanted.image or work.options.only == "caches":
        return []
    return [_keep(wanted, work, _recording(wanted))._replace(keys=())]


def _recording(wanted: VolumeState) -> str:
    return f"record {escape(wanted.image or '')} as the image of volume {wanted.name}"


def _is_empty(work: Work, volume: Volume) -> bool:
    """The kernel forgets the usage when it refuses to erase a volume."""
    return volume.usage == 0 and work.backend.is_empty_behind(volume.device, 0) is not False


def _missing(wanted: VolumeState) -> RdctlError:
    return RdctlError(
        Code.NOT_FOUND,
        f"{wanted.name} is empty: image {escape(wanted.image or '')} not found",
        hint=f"The next shutdown saves the volume there. See {wanted.at}.",
        target=wanted.name,
    )


def _keep(wanted: VolumeState, work: Work, sentence: str) -> Step:
    past = f"recorded {literal(escape(wanted.image or ''))} as the image of {{}}"
    return Step(
        Stage.CONTENTS,
        "volume",
        wanted.name,
        sentence,
        lambda: _record(work, wanted),
        "keep",
        {"file": wanted.image},
        past=past if wanted.image else "contents of {} are no longer kept",
        keys=("image",),
    )


def _load(work: Work, wanted: VolumeState, path: str, volume: Volume | None) -> Step:
    name, size, loss = wanted.name, wanted.size, None
    if volume is not None:
        size = volume.size or 0 if work.options.only == "images" else size
        # What is to be unlocked is so before.
        work.facts.guard(volume if wanted.locked else volume._replace(locked=False))
        work.facts.guard_contents(volume, may_go=False)
        if volume.usage:
            loss = f"{name}: {human_size(volume.usage)} of an interrupted load will be erased"
    with about(name, "loaded"):
        image = _fitting(work, path, size, name)

    def act() -> None:
        if work.options.boot:
            _record(work, wanted, lasting=True)
        with work.claim([name]), about(name, "loaded"):
            work.contents.fill(name, image, loss, new=volume is None)
        _record(work, wanted)

    return Step(
        Stage.CONTENTS,
        "volume",
        name,
        f"load volume {name} from {escape(path)} ({human_size(image.size)})",
        act,
        "load",
        {"file": path},
        past="loaded {} from " + literal(escape(path)),
        loss=loss,
        implied=True,
        keys=("image",),
    )


def _fitting(work: Work, path: str, size: int, name: str) -> ImageFile:
    """The image of a volume. It is the file that has the size, which apply does not exceed."""
    from rdctl.rapiddisk.imagefile import TooLarge

    try:
        return work.image(path, size, name)
    except TooLarge as error:
        least = -(-error.facts["size"] // MIB)
        error.hint = f'Change the size in the file: size = "{least}MiB"'
        raise


def _record(work: Work, wanted: VolumeState, *, lasting: bool = False) -> None:
    images = Images(work.backend)
    record = images.of(wanted.name)._replace(image=wanted.image)
    images.keep(wanted.name, record, lasting=lasting)
