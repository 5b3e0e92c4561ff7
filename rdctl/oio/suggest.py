"""Suggest similar names for one that is not found: quick, and never an error itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rdctl.core.errors import RdctlError, hints
from rdctl.core.units import escape, guess

if TYPE_CHECKING:
    from rdctl.oio.client import Client
    from rdctl.oio.model import Place

# For the whole search.
SECONDS = 2.0
# The maximum number of names.
_PAGE = 1000
_NO_CONTAINER = (406, 431)
_NO_OBJECT = 420


def near(word: str, names: Callable[[], Iterable[str]]) -> str:
    """` Did you mean NAME?` from the names requested; empty if that fails."""
    try:
        # The name itself may exist: something else of it does not.
        return guess(word, [name for name in names() if name != word])
    except RdctlError:
        return ""


def existing_types(proxy: Client, type: str) -> str | None:
    """`Existing types: rawx, meta2.`, with the one that was probably meant; None: not known, or the
    type is one of them."""
    try:
        query = {"what": "types"}
        types = proxy.brief(SECONDS).read("conscience.types", None, query)
    except RdctlError:
        return None
    if type in types:
        return None
    return hints(f"Existing types: {escape(', '.join(types))}.", guess(type, types))


def near_place(
    status: int,
    place: Place,
    proxy: Client,
) -> str:
    """The same for a container not found in its account, from the first ones in it, and for an
    object, from those at the same level."""
    account, container, path = place.account, place.reference, place.path
    if status in _NO_CONTAINER and account and container:
        query = {"limit": _PAGE}
        service = proxy.account_service
        return near(
            container, lambda: [one.name for one in service.containers(account, query).rows]
        )
    if status == _NO_OBJECT and path:
        prefix = path[: path.rfind("/") + 1] or None
        beside = {"prefix": prefix, "delimiter": "/", "max": _PAGE}
        return near(
            path, lambda: [entry.name for entry in next(proxy.pages(place.holder, beside)).entries]
        )
    return ""
