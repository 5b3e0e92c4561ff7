"""The confirmation prompt before data are lost, and the refusal without a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdctl.config.resolve import Settings
    from rdctl.core.environment import Environment

# Number of losses that the prompt lists, so that it stays readable.
MOST_LOSSES = 20


class Loss(NamedTuple):
    """What will be lost in one place; `settings` identify it."""

    settings: Settings | None
    losses: Sequence[str]


def ask(
    asked: Sequence[Loss],
    failed: Mapping[str, RdctlError],
    preface: Sequence[str],
    *,
    environment: Environment,
    noun: str,
    yes: bool,
) -> None:
    """Return if the losses are confirmed, by --yes or at the prompt. The lines of `preface` come
    before; the prompt also lists the contexts that have already `failed`."""
    protected = [of for of, _ in asked if of and of.get("protected") and not of.says_where(noun)]
    if yes and not protected:
        return
    where, losses = _where(asked, noun)
    for line in preface:
        environment.stderr.write(f"{defuse(line)}\n")
    lines = list(losses[:MOST_LOSSES])
    if len(losses) > MOST_LOSSES:
        lines.append(f"and {len(losses) - MOST_LOSSES} more")
    lines += [f"not on {context}: {error.message}" for context, error in failed.items()]
    lines = [defuse(line) for line in lines]
    if not environment.can_ask:
        stream = "stderr" if environment.stdin_tty else "stdin"
        reason = f"confirmation required, and {stream} is not a terminal"
        hint = "Use --yes to confirm, or --dry-run to preview."
        if protected and yes:
            names = ",".join(str(settings.context) for settings in protected)
            reason = f"--yes is not sufficient: context {names} is protected"
            hint = f"Select it by name: -c {names}"
        message = f"{reason}; this would happen{where}"
        raise RdctlError(Code.CONSENT, message, hint=hint, losses=lines)
    question = "Continue?"
    if len(lines) == 1:
        place = f"On{where.removeprefix(' on')}: " if where else ""
        question = f"{place}{lines[0].rstrip('.')}. {question}"
    else:
        environment.stderr.write(f"The following will happen{where}:\n")
        environment.stderr.write("".join(f"  {line}\n" for line in lines))
    if not environment.confirm(question):
        raise RdctlError(Code.DECLINED, "aborted")


def _where(asked: Sequence[Loss], noun: str) -> tuple[str, Sequence[str]]:
    """Where it would happen, as text, and the losses."""
    if len(asked) == 1:
        ((settings, losses),) = asked
        if settings and not settings.context and settings.get(noun):
            return f" on {settings.get(noun)}", losses
        named = f" on context {settings.context}" if settings and settings.context else ""
        return named, losses
    names = ", ".join(str(of.context) for of, _ in asked if of)
    lines = [f"{of.context}: {loss}" for of, losses in asked if of for loss in losses]
    return f" on contexts {names}", lines
