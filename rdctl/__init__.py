"""rdctl: one command line for RapidDisk and OpenIO SDS, and `connect` for Python programs.

The API is in `rdctl.api`, which is imported when it is first used: see docs/python.md.
"""

TYPE_CHECKING = False  # that of `typing`, which is not imported for it
if TYPE_CHECKING:
    from rdctl.api import Change as Change
    from rdctl.api import ConflictError as ConflictError
    from rdctl.api import ConsentError as ConsentError
    from rdctl.api import DeniedError as DeniedError
    from rdctl.api import Error as Error
    from rdctl.api import NotFoundError as NotFoundError
    from rdctl.api import Outcome as Outcome
    from rdctl.api import Site as Site
    from rdctl.api import UnknownOutcomeError as UnknownOutcomeError
    from rdctl.api import UnreachableError as UnreachableError
    from rdctl.api import connect as connect

__version__ = "1.0.0"

if not TYPE_CHECKING:

    def __getattr__(name):
        if name.startswith("_"):  # asked by Python and its tools, of every module
            raise AttributeError(f"module 'rdctl' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(".api", __name__), name)

    def __dir__():
        from importlib import import_module

        return [*globals(), *import_module(".api", __name__).__all__]
