"""What is sent to the oio-proxy: each builder makes the body and the headers of a request from
the arguments of a call. The ways in `routes` name them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, raw_bytes

Arguments = Mapping[str, Any]

META = "x-oio-content-meta-"
_AUTOCREATE = {"x-oio-action-mode": "autocreate"}


class Payload(NamedTuple):
    body: bytes | None = None
    headers: Mapping[str, str] = {}


def encoded(value: Any) -> bytes:
    """JSON that preserves the exact bytes of names."""
    return raw_bytes(json.dumps(value, ensure_ascii=False))


def escaped(name: str) -> str:
    """A name in a query or a header: every byte other than a letter or digit is escaped."""
    return quote(raw_bytes(name), safe="")


def field(name: str, value: Any) -> str:
    """A header's value. The proxy closes the connection on an empty value, and accepts only
    ASCII."""
    text = str(value)
    if not text or not text.isascii() or not text.isprintable():
        raise RdctlError(
            Code.USAGE,
            f'invalid {name} "{defuse(text)}": must be printable ASCII',
        )
    return text


class Escaped(str):
    """A parameter that is already escaped, like the markers of listings."""


def query_string(parameters: Mapping[str, Any]) -> str:
    """`?a=1&b=2`; what is None or False is left out, True is 1; every byte is escaped."""
    words = []
    for key, value in parameters.items():
        if value is None or value is False:
            continue
        text = "1" if value is True else str(value)
        words.append(f"{key}={text if isinstance(value, Escaped) else escaped(text)}")
    return "?" + "&".join(words) if words else ""


def nothing(arguments: Arguments) -> Payload:
    return Payload()


def given(arguments: Arguments) -> Payload:
    """A complete body given by the user, already checked."""
    return Payload(encoded(arguments["body"]))


def properties(arguments: Arguments) -> Payload:
    """`{"properties": {}, "system": {}}`; what is empty is left out, and all of it if all is."""
    value = {key: arguments[key] for key in ("properties", "system") if arguments.get(key)}
    return Payload(encoded(value) if value else None)


def flat_properties(arguments: Arguments) -> Payload:
    """As the published reference has it for contents: one flat object."""
    return Payload(encoded({**arguments.get("properties", {}), **arguments.get("system", {})}))


def flat_user_properties(arguments: Arguments) -> Payload:
    """As the published reference has it for containers: names carry the prefix `user.`."""
    user = {f"user.{key}": value for key, value in arguments.get("properties", {}).items()}
    return Payload(encoded({**user, **arguments.get("system", {})}))


def keys(arguments: Arguments) -> Payload:
    """Names of properties. Never an empty array, which would mean all of them: ValueError."""
    names = list(arguments["keys"])
    if not names:
        raise ValueError("no names of properties")
    return Payload(encoded(names))


def requested_keys(arguments: Arguments) -> Payload:
    """Names of the requested properties; an empty list means all."""
    names = list(arguments.get("keys", ()))
    return Payload(encoded(names) if names else None)


def containers(arguments: Arguments) -> Payload:
    """`own` maps names to additional properties."""
    shared = {key: arguments[key] for key in ("properties", "system") if arguments.get(key)}
    entries = [{"name": name, **shared} for name in arguments["names"]]
    if own := arguments.get("own"):
        for entry in entries:
            if entry["name"] in own:
                entry["properties"] = {**shared.get("properties", {}), **own[entry["name"]]}
    return Payload(encoded({"containers": entries}))


def properties_autocreate(arguments: Arguments) -> Payload:
    """The published reference has a missing account created along with the container."""
    return properties(arguments)._replace(headers=_AUTOCREATE)


def containers_autocreate(arguments: Arguments) -> Payload:
    return containers(arguments)._replace(headers=_AUTOCREATE)


def contents(arguments: Arguments) -> Payload:
    return Payload(encoded({"contents": [{"name": name} for name in arguments["names"]]}))


def service(arguments: Arguments) -> Payload:
    """`only`: lock or unlock only the score for `put` or `get`, which are apart since 2025."""
    value = {"ns": arguments["namespace"], "type": arguments["type"], "addr": arguments["address"]}
    only, score = arguments.get("only"), arguments.get("score")
    if only is not None and score is not None:
        value["scores"] = {f"score.{only}": score}
    elif only is not None:
        value["tags"] = {f"tag.{only}lock": True}
    elif score is not None:
        value["score"] = score
    if arguments.get("tags"):
        value["tags"] = dict(arguments["tags"])
    return Payload(encoded(value))


def checkpoint(arguments: Arguments) -> Payload:
    """Without a suffix, the server makes one of the time."""
    suffix = arguments.get("suffix")
    return Payload(encoded({"suffix": suffix} if suffix else {}))


def transition(arguments: Arguments) -> Payload:
    return Payload(encoded({"policy": arguments["policy"]}))


def forced_service(arguments: Arguments) -> Payload:
    value = {"host": arguments["address"], "type": arguments["type"]}
    return Payload(encoded({**value, "seq": arguments["seq"], "args": arguments["args"]}))


def replaced_services(arguments: Arguments) -> Payload:
    """All linked services of one sequence number, to be replaced. Never none of them, which would
    remove the links (ValueError), and never any to keep: servers would drop these."""
    if not arguments["addresses"]:
        raise ValueError("no services to replace")
    value = {key: arguments[key] for key in ("seq", "type", "args")}
    replaced = {**value, "host": ",".join(arguments["addresses"])}
    return Payload(encoded({"kept": None, "replaced": replaced}))


def prepare(arguments: Arguments) -> Payload:
    value = {"size": arguments["size"]}
    if arguments.get("policy"):
        value["policy"] = arguments["policy"]
    return Payload(encoded(value), _autocreate(arguments))


def prepare_text(arguments: Arguments) -> Payload:
    """The published reference sends the size as a string."""
    return prepare({**arguments, "size": str(arguments["size"])})


def _autocreate(arguments: Arguments) -> Mapping[str, str]:
    return _AUTOCREATE if arguments.get("autocreate") else {}


def content(arguments: Arguments) -> Payload:
    """The chunks and properties of an object; what describes it travels as headers."""
    headers = {f"{META}length": str(arguments["length"])}
    for key, name in _CONTENT_HEADERS.items():
        if arguments.get(key) is not None:
            headers[META + name] = field(name, arguments[key])
    chunks = arguments["chunks"]
    user = arguments.get("properties")
    return Payload(encoded({"chunks": chunks, "properties": user} if user else chunks), headers)


_CONTENT_HEADERS = {
    "content_id": "id",
    "version": "version",
    "hash": "hash",
    "policy": "policy",
    "mime_type": "mime-type",
    "chunk_method": "chunk-method",
}


def reference_content(arguments: Arguments) -> Payload:
    """As the published reference has it: an array, and the type in a header of another name."""
    if arguments.get("properties"):
        raise RdctlError(
            Code.UNSUPPORTED,
            "the published reference API cannot create objects with properties",
            hint="Set them afterwards with rdctl oio content set-properties.",
        )
    sent = content({**arguments, "mime_type": None})
    headers = dict(sent.headers)
    if arguments.get("mime_type") is not None:
        headers["x-oio-content-type"] = field("mime-type", arguments["mime_type"])
    return Payload(sent.body, headers)


def copy_target(arguments: Arguments) -> Payload:
    """The new name in a header, as oio_url_init of 3.3 parses it: NS/ACCOUNT/REFERENCE/TYPE/PATH,
    the type left empty."""
    place = arguments["target"]
    parts = (arguments["namespace"], place.account, place.reference, "", place.path)
    return Payload(None, {"Destination": "/".join(escaped(part) for part in parts)})


def text_target(arguments: Arguments) -> Payload:
    return Payload(encoded(arguments["to"]))


def object_target(arguments: Arguments) -> Payload:
    return Payload(encoded({"to": arguments["to"]}))
