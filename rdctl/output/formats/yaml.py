"""The documents of JSON as YAML, collected first."""

from __future__ import annotations

from typing import Any

from rdctl.core.floors import require
from rdctl.core.results import Listing
from rdctl.core.units import CONTROL
from rdctl.output.documents import code_point, end_of, row_data
from rdctl.output.formats.json import Json
from rdctl.output.rows import rows_of
from rdctl.output.schemas import Schema


class Yaml(Json):
    def document(self, document: Any) -> None:
        self.out.write(dumps_yaml(document))

    def listing(self, listing: Listing, schema: Schema) -> None:
        rows = rows_of(listing, schema, self.view)
        items = [row_data(row, schema, self.view) for row in rows]
        self.document({"schema": schema.name, "items": items, **end_of(listing)})


def dumps_yaml(value: Any) -> str:
    """YAML that holds any name, as JSON does."""
    import yaml

    require(yaml)

    class Dumper(yaml.SafeDumper):
        """Quotes what holds characters that must be escaped."""

    def represent(dumper: Dumper, text: str) -> yaml.ScalarNode:
        style = '"' if CONTROL.search(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    text = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return CONTROL.sub(lambda match: match[0] if match[0] == "\n" else code_point(match), text)
