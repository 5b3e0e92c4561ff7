"""Names near one that is not there: a look that is worth a moment, and no error of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rdctl.core.errors import RdctlError
from rdctl.core.units import guess

if TYPE_CHECKING:
    from rdctl.oio.model import Place
    from rdctl.oio.proxy import Proxy

# For all of a look together.
_SECONDS = 2.0
# Only so many are looked at.
_PAGE = 1000
_NO_CONTAINER = (406, 431)
_NO_CONTENT = 420


def near(proxy: Proxy, word: str, names: Callable[[Proxy], Iterable[str]]) -> str:
    """` Did you mean NAME?` of the names that a quick proxy tells; nothing where it does not."""
    try:
        # The name itself may be there: it is something else of it that is not.
        return guess(word, [name for name in names(proxy.brief(_SECONDS)) if name != word])
    except RdctlError:
        return ""


def near_place(proxy: Proxy, status: int, place: Place) -> str:
    """The same for a container that its account does not have, by the first of those that it has,
    and for a content, by what stands beside it."""
    account, container, path = place.account, place.reference, place.path
    if status in _NO_CONTAINER and account and container:
        query = {"limit": _PAGE}
        return near(
            proxy, container, lambda p: [c.name for c in p.account_containers(account, query).rows]
        )
    if status == _NO_CONTENT and path:
        prefix = path[: path.rfind("/") + 1] or None
        beside = {"prefix": prefix, "delimiter": "/", "max": _PAGE}
        return near(
            proxy, path, lambda p: [e.name for e in next(p.pages(place.holder, beside)).entries]
        )
    return ""
