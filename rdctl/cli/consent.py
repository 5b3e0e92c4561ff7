"""The question before something is lost: what is asked, and what holds where nobody can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.units import defuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdctl.config.resolve import Settings
    from rdctl.core.environment import Environment

# Losses that the question lists one by one: whoever is asked should be able to read them.
MOST_LOSSES = 20


class Loss(NamedTuple):
    """What is about to be lost in one place; `settings` lead there."""

    settings: Settings | None
    losses: Sequence[str]


def ask(
    asked: Sequence[Loss],
    failed: Mapping[str, RdctlError],
    unchecked: Sequence[str],
    *,
    environment: Environment,
    noun: str,
    yes: bool,
) -> None:
    """Return when the losses are agreed to, by --yes or by who sits there; the question also lists
    what is `unchecked`, and the contexts in which it has `failed`."""
    protected = [of for of, _ in asked if of and of.get("protected") and not of.says_where(noun)]
    if yes and not protected:
        return
    where, losses = _where(asked, noun)
    lines = [*unchecked, *losses[:MOST_LOSSES]]
    if len(losses) > MOST_LOSSES:
        lines.append(f"and {len(losses) - MOST_LOSSES} more")
    lines += [f"not in {context}: {error.message}" for context, error in failed.items()]
    lines = [defuse(line) for line in lines]
    if not environment.can_ask:
        hint = "Say --yes when that is wanted, or --dry-run to see the steps."
        if protected and yes:
            names = ",".join(str(settings.context) for settings in protected)
            hint = f"The context is protected: name it with -c {names}."
        raise RdctlError(
            Code.CONSENT,
            f"nothing was done: this would happen{where}, and nobody can be asked:",
            hint=hints(*lines, hint),
        )
    environment.stderr.write(f"This is about to happen{where}:\n")
    environment.stderr.write("".join(f"  {line}\n" for line in lines))
    if not environment.confirm("Go on?"):
        raise RdctlError(Code.DECLINED, "nothing was done")


def _where(asked: Sequence[Loss], noun: str) -> tuple[str, Sequence[str]]:
    """Where it would happen, in words, and what."""
    if len(asked) == 1:
        ((settings, losses),) = asked
        if settings and not settings.context and settings.get(noun):
            return f" on {settings.get(noun)}", losses
        named = f" in the context {settings.context}" if settings and settings.context else ""
        return named, losses
    names = ", ".join(str(of.context) for of, _ in asked if of)
    lines = [f"{of.context}: {loss}" for of, losses in asked if of for loss in losses]
    return f" in the contexts {names}", lines
