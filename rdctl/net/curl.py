"""A request as a shell command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping

from rdctl.core.secrets import masked, masked_header, masked_json
from rdctl.core.units import raw_bytes, without_password
from rdctl.net.messages import CHUNKED, HEADERS, Access, Blocks

# The kernel refuses arguments of more than 128 KiB; longer lines are unreadable.
_LONGEST_WORD = 100_000
_LONGEST_BODY = 1 << 20


def curl(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | Blocks | None,
    access: Access | None = None,
) -> str:
    """The request as a command for any shell, without secrets; an unprintable body is written by
    printf. `Expect:` prevents curl from waiting for an interim reply that these servers never
    send."""
    url = masked(url)
    words = ["curl", "-sS", "-X", method, "-H", "Expect:"]
    if isinstance(body, Blocks) and body.trailers:
        headers = _without_trailers(headers, body.trailers)
    for name, value in headers.items():
        # Unneeded headers are omitted. Without a body curl would not send Content-Length: 0.
        if HEADERS.get(name) != value and not (body and name == "Content-Length"):
            words += ["-H", f"{name}: {masked_header(name, value)}"]
    for option, value in _access_words(access or Access()):
        words += [option, value]
    if re.search(r"/(\.|%2e)", url, re.IGNORECASE):
        words.append("--path-as-is")
    if re.search(r"[][{}]", url):
        words.append("--globoff")
    if not body:
        return shlex.join([*words, url])
    # curl would declare it as a form.
    words += ["-H", "Content-Type:"]
    if isinstance(body, Blocks):
        line = shlex.join([*words, "--data-binary", "@-", url])
        return f"{body.shell} | {line}" if body.shell else f"{line}  # {body.size} bytes on stdin"
    if len(body) > _LONGEST_BODY:
        words += ["--data-binary", "@-", url]
        return f"{shlex.join(words)}  # {len(body)} bytes on stdin"
    text = masked_json(body.decode("utf-8", "surrogateescape"))
    if text.isprintable() and len(text) <= _LONGEST_WORD:
        # --data-binary would treat a leading @ as a file name.
        return shlex.join([*words, "--data-raw", text, url])
    printed = _printf_format(raw_bytes(text))
    return f"printf {printed} | {shlex.join([*words, '--data-binary', '@-', url])}"


def _without_trailers(headers: Mapping[str, str], trailers: Iterable[str]) -> Mapping[str, str]:
    """curl does not support trailers: they are shown as headers, which servers accept as well."""
    kept = {name: headers[name] for name in headers if name not in CHUNKED}
    return {**kept, **dict.fromkeys(trailers, "<known after the data>")}


def _access_words(access: Access) -> Iterator[tuple[str, str]]:
    proxy = without_password(access.http_proxy) if access.http_proxy else None
    files = (("--cacert", access.ca), ("--cert", access.cert), ("--key", access.key))
    for option, value in (*files, ("--proxy", proxy)):
        if value:
            yield option, value


_TO_ESCAPE = rb"[^ -~]|['\\%]|^-"


def _printf_format(data: bytes) -> str:
    """Bytes as a quoted printf format for any shell."""
    special = {b"%": b"%%", b"\\": b"\\\\"}

    def escape(match: re.Match[bytes]) -> bytes:
        return special.get(match[0]) or b"\\%03o" % ord(match[0])

    return f"'{re.sub(_TO_ESCAPE, escape, data).decode()}'"
