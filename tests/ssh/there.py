"""rdctl behind a real ssh, on a machine with the kernel of the tests (tests/remote/machines.py)."""

from __future__ import annotations

import os
import sys
from functools import partial

from rdctl.cli.run import main
from rdctl.core.environment import real
from tests.remote.machines import on_machine
from tests.remote.nursery import ACT

if __name__ == "__main__":
    on_machine(os.environ[ACT], partial(main, sys.argv[1:]), real())
