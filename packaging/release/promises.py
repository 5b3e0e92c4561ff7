"""What the version numbers promise: every name that scripts can depend on.

    python -m release.promises

It renews docs/promised.txt, the names of the last release: `release.cut` does so, and a test fails
if one of them is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from release.build import ROOT


def promised(tree: Path) -> set[str]:
    return set((tree / "docs" / "promised.txt").read_text("utf-8").splitlines())


def write(tree: Path) -> None:
    text = "".join(f"{line}\n" for line in sorted(inventory()))
    (tree / "docs" / "promised.txt").write_text(text, "utf-8")


def inventory() -> set[str]:
    """The names that this program has, each with its kind."""
    return {*_commands(), *_keys(), *_codes(), *_settings()}


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
    from rdctl.output.schemas import SCHEMAS

    yield from (f"format {name}" for name in FORMATS)
    for name, schema in SCHEMAS.items():
        yield from (f"key {name} {column.key}" for column in schema.columns)


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


if __name__ == "__main__":
    write(ROOT)
