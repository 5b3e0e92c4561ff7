"""Tests of what packages are made of. Those of an installed package are collected only where the
package's own tests run them, as `make test-deb` does."""

from __future__ import annotations

import os

collect_ignore = ["test_sources.py" if "RDCTL_INSTALLED" in os.environ else "test_installed.py"]
