"""`rdctl` and `python -m rdctl`."""

from __future__ import annotations

import atexit
import os
import sys


def main() -> None:
    """The program, which ends the process."""
    if not os.environ.get("RDCTL_DEBUG"):
        # A signal may come while a library makes something; what its end stumbles over is noise.
        sys.unraisablehook = lambda unraisable: None
    try:
        start()
        code = 0
    except SystemExit as left:
        code = int(left.code or 0)
    # What is left is memory: Python would take it apart, piece by piece, for an eighth of the time
    # that a remote command takes. The system frees it at once.
    atexit._run_exitfuncs()
    os._exit(code)


def start() -> None:
    """What needs no command tree is answered before click is imported. SystemExit has the code."""
    if sys.argv[1:] == ["--version"]:
        _show_version()
        return
    if sys.getfilesystemencoding() != "utf-8" and sys.executable and "utf8" not in sys._xoptions:
        # In a locale of 8 bits Python takes names for other characters than their bytes are in
        # UTF-8, and nothing but a start in its UTF-8 mode keeps it from that.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    import gc

    # Starting makes only what stays; `cli.pipeline` turns it on again before the work.
    gc.disable()
    try:
        from rdctl.core.environment import real

        if sys.argv[1:2] == ["__complete"]:
            from rdctl.completion.answer import main as complete

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
