"""The contents of volumes: into image files, and from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rdctl.effects.blocks import runs
from rdctl.effects.door import Effect
from rdctl.effects.syscalls import quoted_path
from rdctl.rapiddisk.kernel.claims import KernelPart

if TYPE_CHECKING:
    from rdctl.effects.images import Made
    from rdctl.rapiddisk.files import ImageTarget, Writer
    from rdctl.rapiddisk.imagefile import ImageFile


class KernelContents(KernelPart):
    def save_contents(self, volume: str, target: ImageTarget, step: Callable[[int], None]) -> Made:
        """Write the contents to a file. Raises OSError about the file."""
        from hashlib import sha256  # several milliseconds, which other commands save

        from rdctl.rapiddisk.files import Copy

        size = self._known.size(volume) or 0

        def fill(part: Writer) -> str:
            digest, offset = sha256(), 0
            for piece in self._read(volume, size):
                for start, end in runs(piece):
                    part.write(memoryview(piece)[start:end], offset + start)
                digest.update(piece)
                offset += len(piece)
                step(len(piece))
            part.cut(size)
            return digest.hexdigest()

        with self._claims.claim([volume]):
            copy = Copy(volume, self._node(volume), fill, lambda: step(0))
            return target.take(copy, self._effects, self._calls)

    def _read(self, volume: str, size: int) -> Iterator[bytes]:
        with self._refusals.worded(f"{volume} cannot be read", volume):
            yield from self._devices.pieces(volume, 0, size)

    def load_contents(self, volume: str, image: ImageFile, step: Callable[[int], None]) -> None:
        """Part of a transaction, whose rollback erases the volume."""
        from rdctl.rapiddisk.imagefile import changed

        def perform() -> None:
            descriptor = self._calls.open_for_writing(node)
            try:
                digest = self._poured(descriptor, image, step)
            finally:
                self._calls.close(descriptor)
            if digest != image.digest:
                raise changed(image)

        with (
            self._refusals.worded(f"{volume} was not loaded", volume),
            self._claims.claim([volume]),
        ):
            node = self._node(volume)
            what = f"load {volume} from {image.name}"
            source, place = quoted_path(self._calls, image.path), quoted_path(self._calls, node)
            line = f"dd if={source} of={place} bs=1M conv=sparse,fsync"
            if image.stream is not None:
                line = f"dd of={place} bs=1M iflag=fullblock conv=sparse,fsync < {source}"
            self._effects.undo_with(self._emptying(volume))
            act = self._acts.loading(volume, image.name)
            self._effects.do(Effect(what, line, perform, step=True), None)
            self._effects.acted(act)

    def _poured(self, descriptor: int, image: ImageFile, step: Callable[[int], None]) -> str:
        """Write what is not zero: zeros would take memory. Returns the digest of the image."""
        from hashlib import sha256

        from rdctl.rapiddisk.imagefile import image_pieces

        digest, offset = sha256(), 0
        try:
            for piece in image_pieces(image):
                for start, end in runs(piece):
                    run = memoryview(piece)[start:end]
                    self._calls.pwrite(descriptor, run, offset + start)
                digest.update(piece)
                offset += len(piece)
                step(len(piece))
        finally:
            # Else it would be written after the volume was erased.
            self._calls.settle(descriptor)
        return digest.hexdigest()

    def _emptying(self, volume: str) -> Effect[None]:
        """The undo of a load that was not completed."""

        def erasing() -> Effect[None]:
            return self._devices.erase(volume, self._held.get(volume), None)

        undo = erasing()._replace(perform=lambda: erasing().perform())
        return self._claims.alone(undo, volume)

    def _node(self, volume: str) -> str:
        return self._sysfs.path(self._known.node(volume))
