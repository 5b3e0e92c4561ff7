"""The sandbox: both storage systems simulated over one file, for trying, teaching and testing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from rdctl.sandbox.oio.beanstalkd import Beanstalkd

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


def beanstalkd(
    path: str | os.PathLike[str], left: Callable[[], float | None] | None = None
) -> Beanstalkd:
    """The queue of events alone."""
    from rdctl.sandbox.oio.beanstalkd import Beanstalkd
    from rdctl.sandbox.store import Store

    return Beanstalkd(Store(path, left))


def queue_of(
    path: str | os.PathLike[str], address: str, left: Callable[[], float | None]
) -> Callable[[bytes], AbstractContextManager[BinaryIO]]:
    """Asks the queue of events in this process, by the address that clients know."""

    @contextmanager
    def ask(command: bytes) -> Iterator[BinaryIO]:
        from rdctl.sandbox.oio.state import BEANSTALKD_ADDRESS

        if address != BEANSTALKD_ADDRESS:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        yield BytesIO(beanstalkd(path, left).answer(command) or b"")

    return ask
