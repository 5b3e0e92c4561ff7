"""requests and urllib3, without dependencies that rdctl does not need.

They load libraries for guessing encodings, for internationalized host names (loaded later if a name
needs it), and for versions of packages: together a tenth of the time of a remote
command. Stubs replace them.
"""

import sys
from types import ModuleType
from typing import Any

from rdctl.core.floors import require

_IN_PLACE: dict[str, dict[str, Any]] = {
    "charset_normalizer": {
        "__version__": "2.1.1",
        "detect": lambda data: {"encoding": "utf-8"},
    },
    "idna": {},
    "importlib.metadata": {"version": None},
}

__all__ = ["requests", "urllib3"]

if "requests" in sys.modules:
    import requests
    import urllib3
else:
    _made = {name: ModuleType(name) for name in _IN_PLACE if name not in sys.modules}
    for _name, _module in _made.items():
        _module.__dict__.update(_IN_PLACE[_name])
    sys.modules.update(_made)
    try:
        import requests
        import urllib3
    finally:
        for _name in _made:
            del sys.modules[_name]

require(requests, urllib3)
