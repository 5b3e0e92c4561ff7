"""Contents and chunks, as the proxy tells of them."""

from __future__ import annotations

from typing import Any

from rdctl.oio.model import Content


def content(**known: Any) -> Content:
    empty = dict.fromkeys(Content._fields)
    return Content(**{**empty, "container": "c", "path": "p", "chunks": [], **known})


def chunk(pos: object, url: str = "http://127.0.0.1:6013/AB", **more: Any) -> dict[str, Any]:
    return {"url": url, "pos": str(pos), "size": 5, "hash": "0" * 32, **more}
