"""How results look: what is shown of each schema, and a writer for each format."""

from typing import NamedTuple


class Format(NamedTuple):
    """A format of -o. `writer`: its class in `rdctl.output.formats`, imported when used; `whole`:
    the whole result must be known before anything is written; `errors`: errors are written too."""

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
