"""Signals that a test sends to its own process."""

from __future__ import annotations

import signal
import threading


def signal_here(number: int = signal.SIGINT) -> None:
    """Send a signal to the main thread, which handles it. Sent to the process, another thread may
    take it, on a busy machine only after the test that expects it."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, number)
