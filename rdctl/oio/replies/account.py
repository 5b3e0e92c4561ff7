"""Accounts, by their own service."""

from __future__ import annotations

from typing import Any

from rdctl.core.unread import rows, spared
from rdctl.net.messages import Reply
from rdctl.oio.model import Account, AccountContainer, AccountPage
from rdctl.oio.replies.values import as_array, as_properties, as_text, date, whole_or_none


def shown(reply: Reply) -> Account:
    body = reply.json()
    found = spared(_account, body, "account", "id")
    metadata = spared(lambda fields: as_properties(fields.get("metadata")), body, "account")
    return found._replace(metadata=metadata)


def _account(body: Any) -> Account:
    return Account(
        account=as_text(body["id"]),
        containers=whole_or_none(body.get("containers")),
        objects=whole_or_none(body.get("objects")),
        bytes=whole_or_none(body.get("bytes")),
        created=date(body.get("ctime")),
        metadata={},
    )


def account_containers(reply: Reply) -> AccountPage:
    listing = [_listed(row) for row in as_array(reply.json()["listing"])]
    return AccountPage(rows(_account_container, listing, "container", "name"), len(listing))


def last_events(reply: Reply) -> dict[str, float]:
    """The time of the last event of each container; a prefix has none."""
    listing = [_listed(row) for row in as_array(reply.json()["listing"])]
    return dict(rows(_last_event, listing, "container", "name"))


def _last_event(row: Any) -> tuple[str, float]:
    mtime = row.get("mtime") or 0
    date(mtime)  # refuses what is not a time
    return as_text(row["name"]), float(mtime)


_LISTED = ("name", "objects", "bytes", "is_prefix", "mtime")


def _listed(row: Any) -> Any:
    """A row by the names of its columns; anything else unchanged."""
    sound = isinstance(row, list) and len(row) == len(_LISTED)
    return dict(zip(_LISTED, row, strict=True)) if sound else row


def _account_container(row: Any) -> AccountContainer:
    return AccountContainer(
        name=as_text(row["name"]),
        kind="prefix" if whole_or_none(row.get("is_prefix")) else "container",
        objects=whole_or_none(row.get("objects")),
        bytes=whole_or_none(row.get("bytes")),
        modified=date(row.get("mtime")),
    )
