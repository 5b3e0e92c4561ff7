"""Saving a state as the state file of the machine."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.state import document
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
        loss=None if former is None else f"{PATH} will be replaced{_dropped(former, text)}",
        keys=(),
    )


def _dropped(former: str, text: str) -> str:
    """The images that the new text lacks: their volumes will be empty after a reboot."""
    after = _images(text)
    lost = [one for one in _images(former).items() if after.get(one[0]) != one[1]]
    return "".join(f"; {name} loses its image {escape(path)}" for name, path in lost)


def _images(text: str) -> dict[str, str]:
    with suppress(RdctlError):  # a damaged file has none to lose
        return {one.name: one.image for one in document.parse(PATH, text).volumes if one.image}
    return {}
