"""What the verbs `show` have in common."""

from __future__ import annotations


def hidden_keys(name: str) -> list[str]:
    """The keys of a schema that a table of many things leaves out."""
    from rdctl.output.schemas import SCHEMAS

    return [column.key for column in SCHEMAS[name].columns if not column.shown]
