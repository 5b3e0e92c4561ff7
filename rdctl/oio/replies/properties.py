"""Properties: those of users, and those of the system."""

from __future__ import annotations

from typing import Any

from rdctl.net.messages import Reply
from rdctl.oio.model import Properties
from rdctl.oio.properties import is_system
from rdctl.oio.replies.values import as_properties, or_null


def shown(reply: Reply) -> Properties:
    """User and system properties, apart: 4.2 sends them so, 3.3 sends the user's with a prefix
    in some routes, the reference shows one flat object."""
    return apart(reply.json() if reply.body.strip() else {})


def apart(body: Any) -> Properties:
    if "properties" in body or "system" in body:
        user = as_properties(body.get("properties"))
        system = or_null(as_properties, body.get("system"), "value", "system")
        return Properties("", user, system)
    return Properties("", *_split(as_properties(body)))


def _split(flat: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    user, system = {}, {}
    for key, value in flat.items():
        if key.startswith("user."):
            user[key.removeprefix("user.")] = value
        elif is_system(key):
            system[key] = value
        else:
            user[key] = value
    return user, system
