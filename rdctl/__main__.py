"""`rdctl` and `python -m rdctl`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The program. What needs no command tree is answered before click is imported."""
    if sys.argv[1:] == ["--version"]:
        _show_version()
        return
    import gc

    # Starting makes only what stays; `cli.command` turns it on again before the work.
    gc.disable()
    try:
        from rdctl.world import real

        if sys.argv[1:2] == ["__complete"]:
            from rdctl.completion.names import main as complete

            complete(sys.argv[2:], real())
        else:
            from rdctl.cli.run import main as run_main

            run_main(sys.argv[1:], real())
    except KeyboardInterrupt:  # before `run` could take it, or once more after that
        sys.exit(130)


def _show_version() -> None:
    from rdctl import __version__

    if sys.stdout is None:  # closed by the caller
        return
    try:
        sys.stdout.write(f"rdctl {__version__}\n")
        sys.stdout.flush()
    except OSError as error:
        # Else Python tries again at exit, with noise and a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141 if isinstance(error, BrokenPipeError) else 1)


if __name__ == "__main__":
    main()
