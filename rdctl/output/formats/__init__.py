"""A writer for each format; `rdctl.output.FORMATS` names them."""
