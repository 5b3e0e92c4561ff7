"""Properties that are computed once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from rdctl.core.once import once

SECONDS = 30


class Asked:
    def __init__(self, answer: Callable[[], object]) -> None:
        self._answer = answer
        self.times = 0

    @once
    def answer(self) -> object:
        """The answer."""
        self.times += 1
        return self._answer()


def together(*acts: Callable[[], object]) -> list[object]:
    results: list[object] = []
    threads = [threading.Thread(target=lambda act=act: results.append(act())) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    return results


def test_threads_compute_it_once() -> None:
    """The second asks while the first computes: only a long wait of the first would miss it."""
    asking = threading.Event()

    def slow() -> object:
        asking.wait(0.2)
        return object()

    asked = Asked(slow)
    first, second = together(lambda: asked.answer, lambda: asked.answer)
    assert first is second
    assert asked.times == 1


def test_instances_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2)
    a, b = (Asked(lambda: both.wait(SECONDS)) for _ in range(2))
    assert sorted(map(str, together(lambda: a.answer, lambda: b.answer))) == ["0", "1"]


def test_a_failure_is_not_kept() -> None:
    answers = iter([ValueError("no"), 7])

    def answer() -> object:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    asked = Asked(answer)
    with pytest.raises(ValueError, match="no"):
        asked.answer  # noqa: B018
    assert (asked.answer, asked.answer, asked.times) == (7, 7, 2)
    assert Asked.answer.__doc__ == "The answer."
