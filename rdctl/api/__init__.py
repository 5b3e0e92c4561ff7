"""rdctl for Python programs: typed operations and plain data, without a command line.

    import rdctl

    with rdctl.connect("lab") as site:
        for volume in site.rapiddisk.volumes.list():
            print(volume.device, volume.usage)

docs/python.md has more; docs/stability.md says what of it stays as it is.
"""

from rdctl.api.connection import Site, connect
from rdctl.api.errors import (
    ConflictError,
    ConsentError,
    DeniedError,
    Error,
    NotFoundError,
    UnknownOutcomeError,
    UnreachableError,
)
from rdctl.api.models import Change, Outcome

__all__ = [
    "Change",
    "ConflictError",
    "ConsentError",
    "DeniedError",
    "Error",
    "NotFoundError",
    "Outcome",
    "Site",
    "UnknownOutcomeError",
    "UnreachableError",
    "connect",
]
