"""What the version numbers promise: every name that scripts can depend on.

    python -m release.promises

It renews docs/promised.txt, the names of the last release: `release.cut` does so, and a test fails
if one of them is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_type_hints, is_typeddict

from release.build import ROOT


def promised(tree: Path) -> set[str]:
    return set((tree / "docs" / "promised.txt").read_text("utf-8").splitlines())


def write(tree: Path) -> None:
    text = "".join(f"{line}\n" for line in sorted(inventory()))
    (tree / "docs" / "promised.txt").write_text(text, "utf-8")


def inventory() -> set[str]:
    """The names that this program has, each with its kind."""
    return {*_commands(), *_keys(), *_codes(), *_settings(), *_metrics(), *_python()}


def _commands() -> Iterator[str]:
    from rdctl.cli.tree import root
    from rdctl.completion.nodes import parted

    anywhere, nodes = parted(root)
    yield from (f"option {name}" for option in anywhere for name in option.opts)
    for node, options in nodes.items():
        yield f"command {node.path}"
        yield from (f"option {node.path} {name}" for option in options for name in option.opts)


def _keys() -> Iterator[str]:
    from rdctl.output import FORMATS
    from rdctl.output.schemas import CHANGE, SCHEMAS

    yield from (f"format {name}" for name in FORMATS)
    for schema in (CHANGE, *SCHEMAS.values()):
        yield from (f"key {schema.name} {column.key}" for column in schema.columns)


def _codes() -> Iterator[str]:
    from rdctl.core.errors import Code, Exit

    yield from (f"exit {code.value} {code.name.lower()}" for code in Exit)
    yield from (f"word {code.word} {code.exit.value}" for code in Code)


def _settings() -> Iterator[str]:
    from rdctl.cli.blocks import Terms
    from rdctl.cli.topics import environment
    from rdctl.config.contexts import KEYS

    yield from (f"setting {key}" for key in KEYS)
    for section in environment():
        for block in section.blocks:
            if isinstance(block, Terms):
                yield from (f"variable {name}" for name, _ in block.terms)


def _metrics() -> Iterator[str]:
    from rdctl.metrics.check import KEYS
    from rdctl.metrics.model import METRICS

    yield from (f"metric {metric.kind} {name}" for name, metric in METRICS.items())
    yield from (f"check {key.name}" for key in KEYS)


def _python() -> Iterator[str]:
    """The API: what `rdctl` exports, with parameters, and attributes of what it returns."""
    from rdctl import api
    from rdctl.api.filesystem import OioFileSystem
    from rdctl.api.oio import OpenIO
    from rdctl.api.rapiddisk import RapidDisk

    nowhere: Any = None
    yield from (f"python rdctl.{name}" for name in api.__all__)
    yield from _parameters("connect", api.connect)
    yield from (f"python Error.{name}" for name in vars(api.Error("")))
    for kind in (api.Change, api.Outcome):
        fields = [*kind.__dataclass_fields__, *vars(kind)]
        yield from (f"python {kind.__name__}.{name}" for name in fields if name[0] != "_")
    yield from _parameters("oio://", OioFileSystem.__init__)
    yield from _of_noun("Site.rapiddisk", RapidDisk(nowhere))
    yield from _of_noun("Site.oio", OpenIO(nowhere))


def _of_noun(path: str, noun: object) -> Iterator[str]:
    for name in dir(noun):
        value = getattr(noun, name)
        if name.startswith("_"):
            continue
        if callable(value):
            yield f"python {path}.{name}"
            yield from _parameters(f"{path}.{name}", value)
        else:
            yield from _of_noun(f"{path}.{name}", value)


def _parameters(path: str, function: Any) -> Iterator[str]:
    hints = get_type_hints(function)
    for name, parameter in signature(function).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD and name != "self":
            yield f"python {path} {name}"
        for kind in get_args(hints.get(name)) if parameter.kind is parameter.VAR_KEYWORD else ():
            if is_typeddict(kind):
                yield from (f"python {path} {key}" for key in kind.__annotations__)


if __name__ == "__main__":
    write(ROOT)
