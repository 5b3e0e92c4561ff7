"""Which replica of a base is the master (docs/wire/oio-proxy.md)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from rdctl.sandbox.oio.replies import UNAVAILABLE, ApiFault
from rdctl.sandbox.oio.state import is_down


def master(connection: sqlite3.Connection, cid: str, type: str, hosts: Sequence[str]) -> str | None:
    """The replica that those in service have elected; None if they are not a majority."""
    up = [host for host in hosts if not is_down(connection, host)]
    if 2 * len(up) <= len(hosts):
        return None
    row = connection.execute("SELECT master FROM oio_bases WHERE cid = ?", (cid,)).fetchone()
    able = [host for host in up if held_by(connection, cid, type, host)] or up
    return str(row["master"]) if row and row["master"] in able else able[0]


def elected(connection: sqlite3.Connection, cid: str, type: str, hosts: Sequence[str]) -> str:
    """The master; Fault 503 without one."""
    if (found := master(connection, cid, type, hosts)) is not None:
        return found
    if all(is_down(connection, host) for host in hosts):
        raise ApiFault(UNAVAILABLE, "No service replied")
    raise ApiFault(UNAVAILABLE, f"Election failed [{cid}.1][{type}]")


def held_by(
    connection: sqlite3.Connection, cid: str, type: str, host: str, *, linked: bool = True
) -> bool:
    """Whether a service has a copy of a base; if nothing is recorded, those linked to it do."""
    row = connection.execute(
        "SELECT held FROM oio_copies WHERE cid = ? AND type = ? AND host = ?", (cid, type, host)
    ).fetchone()
    return bool(row["held"]) if row else linked
