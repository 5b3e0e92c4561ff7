"""Locks of the scores of services."""

from __future__ import annotations

from typing import NamedTuple

from rdctl.oio.model import Service


class Pin(NamedTuple):
    """What is done to the score of a service: locked at this one, or unlocked (None); `only` that
    for writing (`put`) or reading (`get`)."""

    score: int | None
    only: str | None = None

    @property
    def action(self) -> str:
        return "unlock" if self.score is None else "lock"

    def holds(self, service: Service) -> bool:
        """Whether the service is known to be as this makes it."""
        if service.locked is None:
            return False
        sides = (self.only,) if self.only else ("put", "get")
        locked = [service.locked in (side, "both") for side in sides]
        if self.score is None:
            return not any(locked)
        return all(locked) and all(_score(service, side) == self.score for side in sides)

    def did(self, before: Service, after: Service) -> bool:
        """Whether a service became as this makes it. Without a report of locks, that is known only
        of another score."""
        if after.locked is not None:
            return self.holds(after)
        return after.score != before.score if self.score is None else after.score == self.score


def lowest(service: Service) -> int | None:
    """The lower one of the scores for writing and reading."""
    if service.score is None or service.get_score is None:
        return service.score
    return min(service.score, service.get_score)


def _score(service: Service, side: str) -> int | None:
    apart = side == "get" and service.get_score is not None
    return service.get_score if apart else service.score


def moved(pin: Pin, before: Service, after: Service | None) -> bool | None:
    """Whether a change is known to have changed something."""
    if after is not None and after.locked is not None and pin.holds(after):
        return True
    return None if before.score == (after.score if after else pin.score) else True


def lock_loss(service: Service, pin: Pin, registered: bool) -> str:
    side = {"put": " for writing", "get": " for reading"}.get(pin.only or "", "")
    loss = f"score{side} will be locked at {pin.score}"
    if pin.score == 0:
        loss += " (is not read)" if pin.only == "get" else " (gets no new data)"
    if not registered:
        loss = f"not registered in the conscience; its {loss}, and it will be listed"
    return f"{service.type} {service.address}: {loss}"
