"""The sandbox: both storage systems simulated over one file, for trying, teaching and testing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# The hosts under which the systems are reached in-process, by `adapter.WsgiAdapter`.
RAPIDDISK_HOST = "rapiddisk.sandbox"
OIO_HOST = "oio.sandbox"


def apps(
    path: str | os.PathLike[str],
    advertise: Mapping[str, str] | None = None,
    left: Callable[[], float | None] | None = None,
) -> dict[str, WSGIApplication]:
    """The simulated servers by host, all over the store at `path`.

    The hosts with a port are services of OpenIO, by the addresses that its proxy tells clients. Who
    serves them elsewhere says so in `advertise` (simulated: real), which is read at each request.
    `left`: see `Store`.
    """
    return {RAPIDDISK_HOST: rapiddisk_app(path, left), **oio_apps(path, advertise, left)}


def rapiddisk_app(
    path: str | os.PathLike[str], left: Callable[[], float | None] | None = None
) -> WSGIApplication:
    """The simulated rapiddiskd alone."""
    from rdctl.sandbox.rapiddisk.daemon import RapidDiskd
    from rdctl.sandbox.store import Store

    return RapidDiskd(Store(path, left))


def oio_apps(
    path: str | os.PathLike[str],
    advertise: Mapping[str, str] | None = None,
    left: Callable[[], float | None] | None = None,
) -> dict[str, WSGIApplication]:
    """The servers of OpenIO alone, which need no simulated machine."""
    from rdctl.sandbox import oio
    from rdctl.sandbox.store import Store

    return oio.apps(Store(path, left), OIO_HOST, advertise)
