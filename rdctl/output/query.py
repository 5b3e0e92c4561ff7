"""--query: an expression of JMESPath over the data of a result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.floors import require
from rdctl.core.units import either


def compile(query: str) -> Any:
    """The expression, or a usage error that explains what is wrong."""
    import jmespath
    import jmespath.exceptions

    require(jmespath)
    try:
        expression = jmespath.compile(query)
        _check_calls(expression.parsed)
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecursionError):
            reason = "nested too deeply"
        elif isinstance(error, jmespath.exceptions.JMESPathError):
            reason = _reason(error)
        else:  # Python rejects longer ones
            reason = "number has too many digits"
        raise RdctlError(
            Code.USAGE,
            f"--query: {reason}",
            hint="Example of an expression: [?size > `1000`].device",
        ) from error
    return expression


def _reason(error: Exception) -> str:
    """What is wrong, in one line: the library repeats the expression, with a mark under it."""
    from jmespath import exceptions as of

    if isinstance(error, of.IncompleteExpressionError):
        return "incomplete expression"
    if isinstance(error, of.JMESPathTypeError):
        expected = either(error.expected_types)
        return f"{error.function_name}() requires {expected}, not {error.actual_type}"
    if isinstance(error, of.ParseError) and not isinstance(error, of.ArityError):
        value = error.lexer_value if isinstance(error, of.LexerError) else error.token_value
        return f'unexpected "{value}" at column {error.lex_position + 1}'
    reason = str(error).partition("\n")[0].rstrip(":")
    return reason[:1].lower() + reason[1:]


def _check_calls(node: Mapping[str, Any]) -> None:
    """Raise early what jmespath would raise only while searching."""
    from jmespath.exceptions import ArityError, UnknownFunctionError
    from jmespath.functions import Functions

    if node["type"] == "function_expression":
        name, given = node["value"], len(node["children"])
        if name not in Functions.FUNCTION_TABLE:
            raise UnknownFunctionError(f"Unknown function: {name}()")
        takes = Functions.FUNCTION_TABLE[name]["signature"]
        variadic = bool(takes) and takes[-1].get("variadic", False)
        if given < len(takes) or (given > len(takes) and not variadic):
            raise ArityError(len(takes), given, name)
    for child in node["children"]:
        if isinstance(child, Mapping):  # a slice has numbers
            _check_calls(child)


def search(query: str, data: Any) -> Any:
    """The value of the expression, which can be written as JSON."""
    import jmespath.exceptions

    try:
        value = compile(query).search(data)
        _check_value(value)
    except jmespath.exceptions.JMESPathError as error:
        raise RdctlError(Code.USAGE, f"--query: {_reason(error)}") from error
    except RecursionError as error:
        raise RdctlError(Code.USAGE, "--query: nested too deeply") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # The library does not check all that it computes with.
        raise RdctlError(Code.USAGE, f"--query: cannot be evaluated: {error}") from error
    return value


def _check_value(value: Any) -> None:
    """Raise if a value cannot be written as JSON: `&name`, NaN, Infinity."""
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            _check_value(part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RdctlError(Code.USAGE, f"--query: {value} is not JSON")
    elif not isinstance(value, str | int | float | None):
        raise RdctlError(Code.USAGE, "--query: an expression (&) is not a result")
