"""How results look: the columns of each schema, and a renderer for each format."""

FORMATS = ("table", "json", "ndjson", "yaml", "csv", "tsv", "name")
