"""The errors of click in the words of rdctl. The texts of click are read only where its exceptions
have no attribute for a fact; they are the same from click 8.1 on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.meanings import verb_meant
from rdctl.cli.tree import NoSuchVerb
from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.units import did_you_mean, either, nearest
from rdctl.output import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

# Messages of click, also raised by verbs that count their arguments themselves.
_TEXTS = (
    (r"Missing (\w+) '(.+?)(?:\.\.\.)?'\.", r"missing \1 \2"),
    (r"Missing command\.", "missing command"),
    (r"Got unexpected extra argument \((.*)\)(.*)", r'unexpected argument "\1"\2'),
    (r"Got unexpected extra arguments \((.*)\)", r"unexpected arguments: \1"),
    (r"Option '(.+)' requires an argument\.", r"option \1 requires a value"),
    (r"Option '(.+)' requires (\d+) arguments\.", r"option \1 requires \2 values"),
    (r"Option '(.+)' does not take a value\.", r"option \1 does not take a value"),
    (r"Argument '(.+)' takes (\d+) values\.", r"argument \1 requires \2 values"),
)
# Options that accept a loss or a risk: suggested for a slip of one letter only.
_AGREEING = {"--yes", "--force", "--overwrite", "--discard-contents", "--unseen", "--overcommit"}
# The least likeness of an unknown option and the one that is suggested.
_LIKENESS = 0.75
# The value in a message about a parameter.
_VALUE = re.compile(r"(['\"]?)(.*)\1 (?:is not|does not) .*", re.DOTALL)


def usage_error(error: click.UsageError) -> RdctlError:
    """The same error for users, with the command that shows the help."""
    hint = f"Run: {error.ctx.command_path} --help" if error.ctx is not None else None
    return RdctlError(Code.USAGE, _message(error), hint=hints(hint, _listing(error)))


def _listing(error: click.UsageError) -> str | None:
    """The command that lists what is missing, if it has another name than `list`."""
    missing = isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument)
    if missing and error.ctx and error.ctx.command_path.startswith("rdctl oio volume "):
        return "List the volumes: rdctl oio volume assignation"
    return None


def _message(error: click.UsageError) -> str:
    if isinstance(error, NoSuchVerb):
        return error.message + did_you_mean(verb_meant(error.noun, error.word, error.known))
    if isinstance(error, click.NoSuchOption) and error.option_name[1:2].isdigit():
        return f'unknown option "{error.option_name}": values must not be negative'
    if isinstance(error, click.NoSuchOption):
        return f'unknown option "{error.option_name}"' + did_you_mean(_option_meant(error))
    if isinstance(error, click.BadParameter) and error.param is not None:
        if isinstance(error, click.MissingParameter):
            must = _must(error.param) if _choices(error.param) else ""
            reason = f": {must}" if must else ""
            return f"missing {error.param.param_type_name} {_name(error.param)}{reason}"
        return _bad_value(error.param, error.message)
    for pattern, ours in _TEXTS:
        if found := re.fullmatch(pattern, error.message, re.DOTALL):
            return found.expand(ours)
    return error.message


def _option_meant(error: click.NoSuchOption) -> str:
    form = error.option_name.lstrip("-")
    if form in FORMATS:
        return f"-o {form}"
    params = error.ctx.command.get_params(error.ctx) if error.ctx else ()
    shown = {word for param in params for word in param.opts}
    near = nearest(form, [word for word in error.possibilities or () if word in shown], _LIKENESS)
    slip = abs(len(near) - len(error.option_name)) <= 1
    return "" if near in _AGREEING and not slip else near


def _bad_value(param: click.Parameter, message: str) -> str:
    """`invalid value "x" for --timeout: must be a number`."""
    must, found = _must(param), _VALUE.fullmatch(message)
    if not found or not must:
        colon = "" if message.startswith("must ") else ":"
        return f"{_name(param)}{colon} {message.removesuffix('.')}"
    meant = did_you_mean(nearest(found[2], _choices(param)))
    return f'invalid value "{found[2]}" for {_name(param)}' + (meant or f": {must}")


def _must(param: click.Parameter) -> str:
    """What a value of this parameter must be, if its type is one of click's."""
    kind: Any = param.type
    if choices := _choices(param):
        return f"must be {either(choices)}"
    if not isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return ""
    noun = "a whole number" if isinstance(kind, click.types.IntParamType) else "a number"
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if least is not None and most is not None:
        return f"must be {noun} from {least} to {most}"
    return f"must be {noun}" + (f", at least {least}" if least is not None else "")


def _choices(param: click.Parameter) -> Sequence[str]:
    choices: Sequence[str] = getattr(param.type, "choices", ())
    return choices


def _name(param: click.Parameter) -> str:
    """`--timeout`, `VOLUME`, `CONTAINER and PATH`."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    words = param.human_readable_name.split()
    return " and ".join(word.strip("[]").removesuffix("...") for word in words)
