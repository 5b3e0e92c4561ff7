"""OpenIO SDS as its servers of 4.2.10 answer: the proxy, the account service, rawx and rdir.

The services behind the proxy (conscience, directory, meta2) are simulated by it, over the store. Of
the directory and of a base only what the routes show exists; elections, events and counters take
effect at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rdctl.sandbox.oio import account, demo, events, proxy, rawx, rdir, state
from rdctl.sandbox.oio.wsgi import application
from rdctl.sandbox.store import Store

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

SCHEMA = state.SCHEMA


def seed(connection: sqlite3.Connection) -> None:
    state.seed_services(connection)
    events.seed(connection)
    demo.seed(connection)


def apps(
    store: Store, host: str, advertise: Mapping[str, str] | None = None
) -> dict[str, WSGIApplication]:
    """The servers: the proxy by `host`, the others by the address (IP:PORT) they are known by.

    `advertise` maps those that listen elsewhere to their actual addresses.
    """
    return {
        host: application(store, proxy.route, advertise),
        state.ACCOUNT_ADDRESS: application(store, account.route),
        **{address: application(store, rawx.router(address)) for address in state.RAWX_ADDRESSES},
        **{address: application(store, rdir.router(address)) for address in state.RDIR_ADDRESSES},
    }
