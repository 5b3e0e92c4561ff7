"""requests, without what nobody here needs of it.

On its way it loads a library that guesses in which encoding a text is, one that spells hosts in
other scripts, which it loads again when there is one, and one that looks up versions of packages:
together a tenth of all that a remote command costs. It finds something in their place.
"""

import sys
from types import ModuleType
from typing import Any

_IN_PLACE: dict[str, dict[str, Any]] = {
    "charset_normalizer": {
        "__version__": "3.0.0",
        "detect": lambda data: {"encoding": "utf-8"},
    },
    "idna": {},
    "importlib.metadata": {"version": None},
}

__all__ = ["requests"]

if "requests" in sys.modules:
    import requests
else:
    _made = {name: ModuleType(name) for name in _IN_PLACE if name not in sys.modules}
    for _name, _module in _made.items():
        _module.__dict__.update(_IN_PLACE[_name])
    sys.modules.update(_made)
    try:
        import requests
    finally:
        for _name in _made:
            del sys.modules[_name]
