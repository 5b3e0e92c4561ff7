"""Names near one that is not there: a look that is worth a moment, and no error of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import RdctlError
from rdctl.core.units import guess

if TYPE_CHECKING:
    from rdctl.oio.model import AccountPage, Page, Place

# For all of a look together.
SECONDS = 2.0
# Only so many are looked at.
_PAGE = 1000
_NO_CONTAINER = (406, 431)
_NO_CONTENT = 420


def near(word: str, names: Callable[[], Iterable[str]]) -> str:
    """` Did you mean NAME?` of the names that are asked for; nothing where that fails."""
    try:
        # The name itself may be there: it is something else of it that is not.
        return guess(word, [name for name in names() if name != word])
    except RdctlError:
        return ""


def near_place(
    status: int,
    place: Place,
    containers: Callable[[str, Mapping[str, Any]], AccountPage],
    contents: Callable[[Place, Mapping[str, Any]], Iterator[Page]],
) -> str:
    """The same for a container that its account does not have, by the first of those that it has,
    and for a content, by what stands beside it; the two functions ask the server."""
    account, container, path = place.account, place.reference, place.path
    if status in _NO_CONTAINER and account and container:
        query = {"limit": _PAGE}
        return near(container, lambda: [row.name for row in containers(account, query).rows])
    if status == _NO_CONTENT and path:
        prefix = path[: path.rfind("/") + 1] or None
        beside = {"prefix": prefix, "delimiter": "/", "max": _PAGE}
        return near(
            path, lambda: [entry.name for entry in next(contents(place.holder, beside)).entries]
        )
    return ""
