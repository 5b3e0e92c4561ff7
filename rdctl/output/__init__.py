"""How results look: what is shown of each schema, and a writer for each format."""

from typing import NamedTuple


class Format(NamedTuple):
    """A word of -o. `writer`: the class in `rdctl.output.formats` that writes it, imported when it
    is used; `whole`: all must be known before any of it is written; `errors`: an error is written
    too."""

    writer: str
    whole: bool = False
    errors: bool = False


FORMATS = {
    "table": Format("table.Table"),
    "json": Format("json.Json", whole=True, errors=True),
    "ndjson": Format("ndjson.Ndjson", errors=True),
    "yaml": Format("yaml.Yaml", whole=True, errors=True),
    "csv": Format("delimited.Csv"),
    "tsv": Format("delimited.Tsv"),
    "name": Format("name.Name"),
}
