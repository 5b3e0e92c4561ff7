"""What content/prepare replies, checked."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.oio.model import Content, Place


def check_names(prepared: Content, place: Place) -> None:
    """Values from the proxy are used in headers of each chunk and of the object."""
    named = {
        "id": prepared.content_id,
        "policy": prepared.policy,
        "chunk method": prepared.chunk_method,
        "MIME type": prepared.mime_type,
    }
    for what, value in named.items():
        text = "" if value is None else str(value)
        if not (text.isascii() and text.isprintable()) or (what == "id" and not text):
            message = f'{place.shown}: invalid {what} from the proxy: "{escape(text)}"'
            raise RdctlError(Code.BAD_REPLY, message, target=place.name)
