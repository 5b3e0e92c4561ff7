"""Arguments of operations, checked against what their signatures declare.

Python ignores annotations, and takes any name for `**options`. Without this check, `dryrun=True`
would be ignored, `yes="no"` would be consent, and None the name of something.
"""

from __future__ import annotations

import inspect
import io
import os
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from typing import Any, BinaryIO, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from rdctl.core.units import either

F = TypeVar("F", bound=Callable[..., Any])


def checked(operation: F) -> F:
    """The operation; it raises TypeError for arguments that its signature does not allow."""

    @wraps(operation)
    def call(*given: Any, **named: Any) -> Any:
        signature, hints, options = _declared(operation)
        bound = signature.bind(*given, **named)
        for name, value in bound.arguments.items():
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                for option, choice in value.items():
                    if options is not None and option not in options:
                        raise TypeError(f'{operation.__qualname__}() has no option "{option}"')
                    _check(option, choice, (options or {}).get(option, Any))
            elif name in hints:
                several = kind is inspect.Parameter.VAR_POSITIONAL
                required = several or signature.parameters[name].default is inspect.Parameter.empty
                for one in value if several else [value]:
                    _check(name, one, hints[name])
                    if required and one == "":
                        raise ValueError(f"{name}: must not be empty")
        return operation(*given, **named)

    return call  # type: ignore[return-value]


@cache
def _declared(
    operation: Callable[..., Any],
) -> tuple[inspect.Signature, dict[str, Any], dict[str, Any] | None]:
    """The signature, the types of parameters, and those of the names in `**options`."""
    signature = inspect.signature(operation)
    declared = {**operation.__annotations__}
    declared.pop("return", None)  # may name what is imported for mypy only
    hints = get_type_hints(types.SimpleNamespace(__annotations__=declared), _globals(operation))
    options: dict[str, Any] | None = None
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (kind,) = get_args(hints.pop(name)) or (None,)  # of Unpack
            if is_typeddict(kind):
                options = get_type_hints(kind)
    return signature, hints, options


def _globals(operation: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = getattr(operation, "__globals__", {})
    return found


def _check(name: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        raise TypeError(f"{name}: {_shown(hint)} is required, not {type(value).__name__}")


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if hint in (int, float):  # also those of numpy
        number = hasattr(value, "__index__" if hint is int else "__float__")
        return number and not isinstance(value, bool)
    if hint is BinaryIO:
        return hasattr(value, "read") and not isinstance(value, io.TextIOBase)
    if origin is Mapping:
        of_keys, of_values = inner
        return isinstance(value, Mapping) and all(
            _fits(key, of_keys) and _fits(one, of_values) for key, one in value.items()
        )
    if origin is Sequence:
        # Also a set or the keys of a mapping, but no iterator: the arguments are read repeatedly.
        several = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)
        return several and all(_fits(one, inner[0]) for one in value)
    if origin is os.PathLike:
        return isinstance(value, os.PathLike)
    if origin is Callable:
        return callable(value)
    return hint is Any or isinstance(value, hint)


def _shown(hint: Any) -> str:
    """In words of Python."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_shown, inner)))
    if hint is types.NoneType:
        return "None"
    if hint is BinaryIO:
        return "a binary file"
    if origin is Callable or origin is os.PathLike:
        return "a function" if origin is Callable else "a path"
    if origin in (Mapping, Sequence):
        kind = "mapping" if origin is Mapping else "sequence"
        return f"a {kind} of {_shown(inner[-1])}"
    return getattr(hint, "__name__", str(hint))


# --- values -----------------------------------------------------------------------------------


def within(name: str, value: int | float | None, least: int, most: int | None = None) -> None:
    """Raise ValueError for a number that is not in a range."""
    if value is not None and not value >= least:
        raise ValueError(f"{name}: {value} is less than {least}")
    if value is not None and most is not None and value > most:
        raise ValueError(f"{name}: {value} is more than {most}")


def one_of(name: str, value: str | None, choices: Sequence[str]) -> None:
    """Raise ValueError for a word that is not one of these."""
    if value is not None and value not in choices:
        raise ValueError(f"{name}: {value!r}: must be {either(choices)}")
