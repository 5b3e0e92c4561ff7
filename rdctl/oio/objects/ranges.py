"""Several ranges of objects, one after the other, to files or standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Data, Failure, Report
from rdctl.effects.files import Part, make_file, pour
from rdctl.oio.acts import ACCEPTED, PROVEN
from rdctl.oio.model import Place
from rdctl.oio.objects.download import Below, Downloads
from rdctl.oio.objects.files import Files, Where, file_fault, identity_of, refuse_taken, target_of
from rdctl.oio.objects.layout import Bytes, Span
from rdctl.oio.objects.receiving import Receiving
from rdctl.workers import Stopped


class Ranges(Downloads):
    """Nothing of an object is written unless all its ranges can be satisfied; each is verified as a
    single one is. A partial file is not kept: which part of it is what, would have to be known."""

    def read_each(self, below: Below, ranges: Sequence[Bytes]) -> Data:
        if below.missing:
            raise below.missing

        def blocks() -> Iterator[memoryview]:
            for number, place in enumerate(below.places, 1):
                with self._workers.progress.file(number, len(below.places), place.name):
                    receiving, spans = self._of(place, ranges, self._workers.parallel)
                    yield from self._all_of(receiving, spans)

        return Data(blocks())

    def get_each(
        self, below: Below, where: Where, ranges: Sequence[Bytes], *, overwrite: bool
    ) -> Report:
        places = list(dict.fromkeys(below.places))
        files = Files(where, places)
        self._total_known = len(places) > 1
        if self._total_known:
            self._workers.progress.begin(None, "bytes")

        def get(number: int, parallel: int) -> Change | Failure:
            return self._file(places[number], where, files, ranges, parallel, overwrite)

        outcomes = self._each_of("get", [place.name for place in places], get)
        missing = [Failure("get", below.missing, whole=True)] if below.missing else []
        return Report(chain(outcomes, missing))

    def _of(
        self, place: Place, ranges: Sequence[Bytes], parallel: int
    ) -> tuple[Receiving, list[Span]]:
        receiving, _ = self._receiving(place, None, parallel)
        spans = [one.of(receiving.size, place.name) for one in ranges]
        if not self._total_known:
            self._workers.progress.begin(_size(spans), "bytes")
        return receiving, spans

    def _all_of(self, receiving: Receiving, spans: Sequence[Span]) -> Iterator[memoryview]:
        for span in spans:
            yield from self._checked(receiving, span)

    def _file(
        self,
        place: Place,
        where: Where,
        files: Files,
        ranges: Sequence[Bytes],
        parallel: int,
        overwrite: bool,
    ) -> Change | Failure:
        receiving, spans = self._of(place, ranges, parallel)
        name = place.path or receiving.path
        what, path = f"get {place.described}", where.path

        def fill(write: Callable[[memoryview], None]) -> None:
            for block in self._all_of(receiving, spans):
                write(block)

        def fill_part(part: Part) -> None:
            at = 0
            part.keep = False
            part.cut(0)
            for block in self._all_of(receiving, spans):
                part.write(block, at)
                at += len(block)

        if where.special:
            act = pour(path, fill, what=what, check=self._in_time)
        else:
            files.guard(place, name)
            target = target_of(where, name, identity_of(*receiving.identity, *spans[0]))
            refuse_taken(target, replaced=overwrite)
            path = target.path
            act = make_file(
                target, fill_part, what=what, replace=overwrite, resume=False, home=where.home
            )
        try:
            self._effects.do(act, None)
        except OSError as error:
            raise file_fault(error, path) from error
        except Stopped:
            return Failure("get", RdctlError(Code.INTERRUPTED, "interrupted", target=place.name))
        facts = {"size": _size(spans), "file": path}
        proven = self._effects.dry_run or all(map(receiving.proves, spans))
        return self._done("get", place.name, PROVEN if proven else ACCEPTED, facts, "downloaded")


def _size(spans: Sequence[Span]) -> int:
    return sum(span.size for span in spans)
