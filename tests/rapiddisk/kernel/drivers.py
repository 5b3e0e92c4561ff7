"""The backend of a simulated machine, without the command line."""

from __future__ import annotations

from rdctl.effects.door import Effects
from rdctl.rapiddisk.kernel.backend import Kernel
from tests.fakes.kernel import FakeKernel


def driver(kernel: FakeKernel, *, dry_run: bool = False) -> tuple[Kernel, Effects, list[str]]:
    trace: list[str] = []
    effects = Effects(ask=lambda losses: None, trace=trace.append, dry_run=dry_run)
    effects.consent(["all of it"])
    backend = Kernel(
        str(kernel.root), kernel, effects, warn=lambda text: None, sleep=lambda seconds: None
    )
    return backend, effects, trace
