"""How replies of the oio-proxy are read, in every format that the servers use: one module per noun.
The ways in `routes` name these readers. A value that cannot be read is null, and noted (see
`core.unread`); a reply that does not fit its route raises one of `MISSHAPEN`, which `reading` turns
into a `bad-reply`."""
