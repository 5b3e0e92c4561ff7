"""requests, without what nobody here needs of it.

It loads a library that guesses in which encoding a text is: a twentieth of all that a remote
command costs. It finds something in its place that takes every text for UTF-8.
"""

import sys
from types import ModuleType

_NAME = "charset_normalizer"

__all__ = ["requests"]

if "requests" in sys.modules or _NAME in sys.modules:
    import requests
else:
    sys.modules[_NAME] = _stand_in = ModuleType(_NAME)
    _stand_in.__dict__.update(__version__="3.0.0", detect=lambda data: {"encoding": "utf-8"})
    try:
        import requests
    finally:
        del sys.modules[_NAME]
