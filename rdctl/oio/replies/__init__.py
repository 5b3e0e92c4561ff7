"""How replies of the oio-proxy are read, in every shape that the servers use: a module a noun. The
ways in `routes` name these readers. A value that cannot be read is null, and noted (see
`core.unread`); a reply that is none of its route raises one of `MISSHAPEN`, of which `reading`
makes a `bad-reply`."""
