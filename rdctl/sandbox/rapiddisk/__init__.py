"""rapiddiskd 9.2.0 simulated: a WSGI app that answers and refuses as the daemon was seen to.

Faults of the daemon are kept where a client must cope with them (the number that it chooses, sizes
that wrap at 64 bits, Success for what the kernel refused). It does not die of long names, and
nothing is ever mounted.
"""

from rdctl.sandbox.rapiddisk import state

SCHEMA = state.SCHEMA
seed = state.seed
