"""Saving a state as the state file of the machine."""

from __future__ import annotations

from functools import partial

from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.state.model import DIRECTORY, FILE
from rdctl.rapiddisk.state.plan import Stage, Step

PATH = f"/{FILE}"


def saving(backend: Backend, text: str) -> Step | None:
    """The step that saves a text; None if it is saved already. Raises if it would be in two
    files."""
    others = backend.state_files()
    if others:
        raise RdctlError(
            Code.CONFLICT,
            f"{others[0]} exists: the saved state would name the same things again",
            hint=f"Remove the files in /{DIRECTORY}, or print the state and edit it:"
            " rdctl rapiddisk dump",
            target=PATH,
        )
    former = backend.state_text()
    if former == text:
        return None
    return Step(
        Stage.SAVE,
        "file",
        PATH,
        f"save the state in {PATH}",
        partial(backend.keep_state, text),
        "save",
        past="saved {}",
        loss=None if former is None else f"{PATH} will be replaced",
        keys=(),
    )
