"""rapiddiskd 9.2.0 simulated: a WSGI app that answers and refuses like the observed daemon, on the
simulated machine.

Bugs of the daemon are kept where a client must cope with them (the number that it chooses, sizes
that wrap at 64 bits, Success for what the kernel refused). Long names do not crash it, and nothing
is ever mounted.
"""
