"""The one exception of the API, in kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rdctl.core.errors import Code, Exit, RdctlError


class Error(Exception):
    """An operation failed, or was refused.

    `code` is the error word and `exit` the exit code of `rdctl help exit-codes`. `message` says
    what and why, `hint` what to do next (as a command of rdctl), `target` to which of the names.
    `losses` is what would be lost, if that was not consented to. `facts` are further details, such
    as `http_status` and `request_id`.

    If several names were given, `errors` has the error of each that failed, and `results` the
    changes of the others, which are done.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "failed",
        exit: int = 1,
        hint: str | None = None,
        target: str | None = None,
        losses: Sequence[str] = (),
        facts: Mapping[str, Any] = MappingProxyType({}),
        results: Sequence[Any] = (),
        errors: Sequence[Error] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.exit = exit
        self.hint = hint
        self.target = target
        self.losses = tuple(losses)
        self.facts = dict(facts)
        self.results = tuple(results)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), self.message, self.__dict__)


class ConsentError(Error):
    """Something would be lost without consent: `losses` says what. Nothing is done."""


class NotFoundError(Error):
    """Not found (exit code 3)."""


class ConflictError(Error):
    """Already exists, not empty, in use, locked, frozen (exit code 4)."""


class DeniedError(Error):
    """Permission denied: requires root, or credentials were rejected (exit code 5)."""


class UnreachableError(Error):
    """No connection, or timed out; nothing was changed (exit codes 6 and 7)."""


class UnknownOutcomeError(Error):
    """A change was sent, and its outcome is not known: look before trying again (exit code 10)."""


_KINDS: Mapping[Exit, type[Error]] = {
    Exit.NOT_FOUND: NotFoundError,
    Exit.CONFLICT: ConflictError,
    Exit.DENIED: DeniedError,
    Exit.UNREACHABLE: UnreachableError,
    Exit.TIMEOUT: UnreachableError,
    Exit.UNKNOWN: UnknownOutcomeError,
}


def _made(kind: type[Error], message: str, values: Mapping[str, Any]) -> Error:
    error = kind(message)
    error.__dict__.update(values)
    return error


def public(
    error: RdctlError, results: Sequence[Any] = (), errors: Sequence[RdctlError] = ()
) -> Error:
    """The error as users of the API get it."""
    kind = _KINDS.get(error.exit, Error)
    if error.code in (Code.CONSENT, Code.DECLINED):
        kind = ConsentError
    facts = dict(error.facts)
    return kind(
        error.message,
        code=error.code.word,
        exit=int(error.exit),
        hint=error.hint,
        target=error.target,
        losses=facts.pop("losses", ()),
        facts=facts,
        results=results,
        errors=[public(one) for one in errors],
    )
