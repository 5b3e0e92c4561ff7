"""`rdctl` and `python -m rdctl`. Only Python 3.6 is required for this file, so that an older Python
than rdctl requires gets a message, not a traceback."""

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
    if sys.argv[1:] in (["--version"], ["-V"]):
        _show_version()
        return
    if sys.version_info < (3, 11):  # noqa: UP036
        _refuse_python()
    if sys.getfilesystemencoding() != "utf-8" and sys.executable and "utf8" not in sys._xoptions:
        # In a locale of 8 bits Python takes names for other characters than their bytes are in
        # UTF-8, and nothing but a start in its UTF-8 mode keeps it from that.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    import gc

    # Starting makes only what stays; `cli.pipeline` turns it on again before the work.
    gc.disable()
    try:
        if sys.argv[1:2] == ["__complete"]:
            from rdctl.completion.answer import main as complete
            from rdctl.core.environment import real

            complete(sys.argv[2:], real())
        else:
            _run()
    except KeyboardInterrupt:  # before `run` could take it, or once more after that
        sys.exit(_unless_plugin(130))


def _unless_plugin(code: int) -> int:
    """The exit code of a failure: a plugin has only one."""
    from rdctl.core.plugin import UNKNOWN, is_check

    return UNKNOWN if is_check(sys.argv[1:]) else code


def _run() -> None:
    """Run the command, unless click cannot be used."""
    from rdctl.core.environment import real

    argv, environment = sys.argv[1:], real()
    try:
        import click

        from rdctl.cli.run import main as run_main

        if "__version__" in vars(click):  # computed from 8.2 on
            from rdctl.core.floors import require

            require(click)
    except Exception as error:
        from contextlib import suppress

        from rdctl.cli.messages import failed
        from rdctl.core.errors import Code, as_error
        from rdctl.core.libraries import cause_of

        fault = cause_of(error) or as_error(error)
        if fault.code is Code.INTERNAL and os.environ.get("RDCTL_DEBUG"):
            raise
        code = failed(fault, argv, environment)
        with suppress(OSError):
            environment.stdout.flush()
        sys.exit(code)
    run_main(argv, environment)


def _refuse_python() -> None:
    from shutil import which

    newer = next(filter(None, (which(f"python3.{n}") for n in range(11, 30))), None)
    command = "-m rdctl" if os.path.basename(sys.argv[0]) == "__main__.py" else sys.argv[0]
    sys.stderr.write(
        "rdctl: error: Python {}.{} is too old: rdctl requires Python 3.11 or later\n"
        "hint: {}\n".format(
            sys.version_info[0],
            sys.version_info[1],
            f"Run: {newer} {command}" if newer else "Install Python 3.11 or later.",
        )
    )
    sys.exit(_unless_plugin(1))


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
