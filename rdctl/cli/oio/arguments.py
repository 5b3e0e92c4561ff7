"""Arguments shared by the OpenIO commands: targets, properties, bodies from files."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rdctl.cli.names_input import bulk_options, expanded
from rdctl.cli.options import seconds_of
from rdctl.cli.renamed import Renamed
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse

if TYPE_CHECKING:
    from rdctl.core.environment import Environment
    from rdctl.oio.model import Place
    from rdctl.sites import Site

# A database belongs to a reference; those of meta1 have only a prefix instead of a name.
_WORDS = {
    "reference": "REFERENCE",
    "base": "REFERENCE",
    "container": "CONTAINER",
    "content": "CONTAINER PATH",
}
# An ID, and the suffix that it has in the name of a database.
_CID = re.compile(r"([0-9A-Fa-f]{64})(?:\.[0-9]+)?")
_PREFIX = re.compile(r"([0-9A-Fa-f]{1,4})")
_CONTENT_ID = re.compile(r"((?:[0-9A-Fa-f]{2}){1,32})")
_CID_DIGITS, _CONTENT_ID_DIGITS = "64 hexadecimal digits", "2 to 64 hexadecimal digits, in pairs"
Function = Callable[..., Any]
Callback = Callable[[click.Context, click.Parameter, "str | None"], "str | None"]


def _hex(digits: str, *shapes: re.Pattern[str]) -> Callback:
    """A callback that accepts these formats of an ID; `digits` describes them."""

    def check(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is None:
            return None
        for shape in shapes:
            if match := shape.fullmatch(value):
                return match[1]
        message = f'invalid {param.opts[0]} "{defuse(value)}": must be {digits}'
        raise RdctlError(Code.USAGE, message)

    return check


content_id = _hex(_CONTENT_ID_DIGITS, _CONTENT_ID)


def _cid_option(callback: Callback) -> Callable[[Function], Function]:
    return click.option(
        "--cid",
        metavar="HEX",
        callback=callback,
        help="Container ID, instead of its name.",
    )


# The option of commands whose target is not a container.
container_id = click.option(
    "--cid",
    metavar="HEX",
    callback=_hex(_CID_DIGITS, _CID),
    help="Only those of the container with this ID.",
)
_BASE_CID = _cid_option(_hex(f"{_CID_DIGITS}, or a prefix of up to 4", _CID, _PREFIX))
_IDS: dict[str, Callable[[Function], Function]] = {
    "cid": _cid_option(_hex(_CID_DIGITS, _CID)),
    "content_id": click.option(
        "--content-id",
        metavar="HEX",
        callback=content_id,
        help="Object ID, instead of PATH.",
    ),
    "version": click.option(
        "--content-version", "version", metavar="V", help="Object version (default: latest)."
    ),
}


class Auto(NamedTuple):
    """--auto is given, perhaps with --flat-bits."""

    bits: int | None


def _auto_options(kind: str) -> Callable[[Function], Function]:
    """--auto and --flat-bits, which `_auto` reads."""
    follows = (
        "it follows from PATH (flat names)."
        if kind == "content"
        else "each object is in that of its name (flat names)."
    )
    auto = click.option("--auto", is_flag=True, help=f"Omit CONTAINER: {follows}")
    bits = click.option(
        "--flat-bits",
        type=click.IntRange(1, 255),
        metavar="N",
        help="Bits of flat names (default: those of the namespace).",
    )
    return lambda function: auto(bits(function))


def _auto(options: dict[str, Any], unfit: dict[str, Any]) -> Auto | None:
    """Remove the two options. `unfit` are the values of options that need a container."""
    auto, bits = options.pop("auto"), options.pop("flat_bits")
    if not auto:
        if bits is not None:
            raise RdctlError(Code.USAGE, "--flat-bits requires --auto")
        return None
    for name in (name for name, value in unfit.items() if value not in (None, False)):
        option = f"--{name.replace('_', '-')}"
        raise RdctlError(Code.USAGE, f"--auto cannot be used with {option}")
    return Auto(bits)


def target(
    kind: str,
    *,
    several: bool = False,
    rest: str = "",
    new: bool = False,
    whole: bool = False,
    reads: bool = False,
    optional: bool = False,
    sent_by: str = "id",
    selects: tuple[str, ...] = (),
    flat: bool = False,
    versions: bool = True,
    gets_flat: bool = False,
) -> Callable[[Function], Function]:
    """The target arguments of a command. The function gets a Place (a list of them with `several`),
    and a value for each word of `rest`: `TYPE`, `[KEY...]`, `KEY=VALUE...`. A missing word is None;
    a list can still be empty if standard input was.

    `--cid` replaces the container or reference, `--content-id` the path, unless the target is `new`
    and has no ID yet. A command that changes the target looks up the names of an ID; one that only
    `reads` sends the ID. `sent_by`: how an object given by its ID is sent. `whole`: without a path
    the target is the container; so it is with any of the options that `selects` names. `optional`:
    without any words the function gets None. `flat`: with --auto the container follows from the
    path; `gets_flat`: for names that are not words of the target, the function also gets `flat`,
    None without --auto, and a container as target is only an account then. In `FILE...` a `-` is
    not a list of names. Not `versions`: no --content-version. For click all words are one argument,
    since their number depends on these options.
    """
    flat = flat or gets_flat
    usage = _WORDS[kind] + ("..." if several else "") + (f" {rest}" if rest else "")
    usage = usage.replace("PATH...", "[PATH...]") if whole or selects else usage
    usage = f"[{usage}]" if optional else usage
    taken = ["cid"] if kind == "content" or not new else []
    taken += ["content_id"] if kind == "content" and not new else []
    taken += ["version"] if kind == "content" and not new and versions else []
    needs_container = (*selects, "recursive") if kind == "content" else ()

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def with_target(site: Site, words: tuple[str, ...], **options: Any) -> Any:
            context = click.get_current_context()
            given = list(words)
            ids = {key: options.pop(key) if key in taken else None for key in _IDS}
            if optional and not given and not any(ids.values()):
                return function(site, None, **options)
            by_option = any(options[name] not in (None, False) for name in selects)
            unfit = {key: options.get(key) for key in needs_container}
            auto = _auto(options, {**ids, **unfit, "version": None}) if flat else None
            all_of_it = whole or by_option
            places = _places(context, site, kind, several, given, ids, all_of_it, auto)
            values = _rest(context, site, given, rest, {**ids, "auto": auto})
            found = site.oio.flat(auto.bits) if auto else None
            if found and kind == "content":
                places = [found.place(place) for place in places]
            if gets_flat:
                options["flat"] = found
            if not reads:
                needed = kind in ("container", "content")
                places = site.oio.named(places, sent_by=sent_by, needed=needed)
            site.oio.about(places)
            return function(site, places if several else places[0], *values, **options)

        command: Function = click.argument("words", nargs=-1, metavar=usage)(with_target)
        options = {**_IDS, "cid": _BASE_CID} if kind == "base" else _IDS
        for key in taken:
            command = options[key](command)
        command = _auto_options(kind)(command) if flat else command
        return bulk_options(command) if several else command

    return decorate


def _places(
    context: click.Context,
    site: Site,
    kind: str,
    several: bool,
    given: list[str],
    ids: dict[str, str | None],
    whole: bool,
    auto: Auto | None,
) -> list[Place]:
    """Remove the words of the target from the given ones."""
    cid, content_id, version = ids["cid"], ids["content_id"], ids["version"]
    if kind != "content":
        if cid or auto:
            return [site.oio.place(cid=cid)]
        return site.oio.places(_taken(context, site, given, several, _WORDS[kind]))
    container = None if cid or auto else _taken(context, site, given, False, "CONTAINER")[0]
    if content_id:
        return [site.oio.place(container, cid, None, content_id, version)]
    if whole and not given and not auto:
        return [site.oio.place(container, cid, None, None, version)]
    paths = _taken(context, site, given, several, "PATH")
    return [site.oio.place(container, cid, path, None, version) for path in paths]


def _taken(
    context: click.Context, site: Site, given: list[str], several: bool, word: str
) -> list[str]:
    if not given:
        raise click.UsageError(f"Missing argument '{word}'.", context)
    if not several:
        return _usable([given.pop(0)], word)
    names = expanded(context, site, given)
    given.clear()
    return _usable(names, word)


def _usable(names: list[str], word: str) -> list[str]:
    for name in names:
        if "\0" in name:
            raise RdctlError(Code.USAGE, f"invalid {word}: must not contain NUL")
    return names


def _rest(
    context: click.Context,
    site: Site,
    given: list[str],
    rest: str,
    replacing: Mapping[str, Any],
) -> list[Any]:
    values: list[Any] = []
    for word in rest.split():
        bare = word.strip("[]")
        if bare.endswith("..."):
            if not given and bare == word:
                raise click.UsageError(f"Missing argument '{bare}'.", context)
            names = list if bare == "FILE..." else partial(expanded, context, site)
            values.append(names(given) if given else None)
            given.clear()
        elif given:
            values.append(given.pop(0))
        elif bare == word:
            raise click.UsageError(f"Missing argument '{word}'.", context)
        else:
            values.append(None)
    if given:
        message = f"Got unexpected extra argument ({defuse(given[0])})"
        used = [word for key, word in _IN_PLACE_OF.items() if replacing[key]]
        raise click.UsageError("; ".join([message, *used]), context)
    return values


_IN_PLACE_OF = {
    "cid": "--cid replaces the name",
    "content_id": "--content-id replaces PATH",
    "auto": "--auto replaces CONTAINER",
}


def pairs(texts: tuple[str, ...] | list[str]) -> dict[str, str]:
    """KEY=VALUE words as a mapping. A duplicate key is an error."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise RdctlError(
                Code.USAGE,
                f'invalid argument "{defuse(text)}": must be KEY=VALUE',
                hint="Use KEY= for an empty value.",
            )
        if key in found:
            raise RdctlError(Code.USAGE, f'key "{defuse(key)}" is given twice')
        found[key] = value
    return found


def _pairs(context: click.Context, param: click.Parameter, value: tuple[str, ...]) -> Any:
    return pairs(value)


def pairs_option(*spellings: str, help: str) -> Callable[[Function], Function]:
    """A repeatable option with values KEY=VALUE."""
    return click.option(*spellings, multiple=True, metavar="K=V", callback=_pairs, help=help)


PROPERTIES = pairs_option("-p", "--property", "properties", help="Property to set (repeatable).")
SYSTEM = pairs_option(
    "--system",
    "system",
    help="System property to set, such as sys.m2.quota=10G (requires confirmation).",
)


def json_option(
    name: str, check: Callable[[Any], Any], help: str, formerly: str = ""
) -> Callable[[Function], Function]:
    """An option, perhaps renamed, with a JSON file, `-` for standard input. A ValueError of `check`
    becomes a usage error before anything is sent."""

    def read(context: click.Context, param: click.Parameter, path: str) -> Any:
        return read_json(context, path, check)

    return click.option(
        f"--{name}",
        cls=Renamed,
        formerly=formerly,
        required=True,
        metavar="FILE",
        callback=read,
        help=help + "; - reads stdin.",
    )


def read_json(context: click.Context, path: str, check: Callable[[Any], Any]) -> Any:
    """The JSON in a file, checked."""
    data = read_bytes(context, path)
    shown = "standard input" if path == "-" else path
    try:
        text = data.decode("utf-8", "surrogateescape")
        return check(json.loads(text, parse_constant=_no_number))
    except RecursionError as error:
        raise RdctlError(Code.USAGE, f"{shown}: nested too deeply", target=path) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        message = f"{shown}: invalid JSON at {where}: {error.msg}"
        raise RdctlError(Code.USAGE, message, target=path) from error
    except ValueError as error:
        raise RdctlError(Code.USAGE, f"{shown}: {error}", target=path) from error


def _no_number(constant: str) -> None:
    """Refuse NaN and Infinity, which Python accepts but JSON does not have."""
    raise ValueError(f"invalid JSON: {constant}")


MOST_BODY = 256 << 20  # bytes, as the most of a reply


def read_bytes(context: click.Context, path: str) -> bytes:
    """The content of a file, or of standard input for `-`."""
    environment: Environment = context.obj
    try:
        return environment.read(path, seconds_of(context), MOST_BODY)
    except OSError as error:
        raise RdctlError(
            Code.USAGE, f"{path} cannot be read: {error.strerror}", target=path
        ) from error


# --- the format of bodies ---------------------------------------------------------------------


def beans(value: Any) -> Any:
    """An array of beans, for raw-insert and raw-delete."""
    if not isinstance(value, list) or not value:
        raise ValueError("must be a non-empty array of beans")
    for number, bean in enumerate(value):
        kind = bean.get("type") if isinstance(bean, dict) else None
        if kind not in ("alias", "header", "chunk", "property"):
            raise ValueError(f"bean {number}: type must be alias, header, chunk or property")
    return value


def bean_update(value: Any) -> Any:
    """`{"old": [...], "new": [...]}` of equal length, for raw-update."""
    if not isinstance(value, dict) or set(value) != {"old", "new"}:
        raise ValueError('must be an object {"old": [...], "new": [...]}')
    if len(beans(value["old"])) != len(beans(value["new"])):
        raise ValueError("old and new must have the same length")
    return value


def prepared(value: Any) -> dict[str, Any]:
    """An array of chunks, or the output of `content prepare --json`, which has more keys."""
    item = value.get("item", value) if isinstance(value, dict) else {"chunks": value}
    chunks = item.get("chunks") if isinstance(item, dict) else None
    if not isinstance(chunks, list) or not chunks:
        raise ValueError("must be a non-empty array of chunks")
    described = {key: item[key] for key in _DESCRIBED if isinstance(item.get(key), str | int)}
    return {**described, "chunks": [_chunk(number, chunk) for number, chunk in enumerate(chunks)]}


_DESCRIBED = ("content_id", "version", "policy", "mime_type", "chunk_method")


def _chunk(number: int, chunk: Any) -> dict[str, Any]:
    expected = {"url": str, "pos": str, "size": int, "hash": str}
    if not isinstance(chunk, dict):
        raise ValueError(f"chunk {number}: must be an object")
    for key, kind in expected.items():
        if not isinstance(chunk.get(key), kind) or isinstance(chunk.get(key), bool):
            name = {str: "a string", int: "an integer"}[kind]
            raise ValueError(f"chunk {number}: {key} must be {name}")
    return {key: chunk[key] for key in expected}


def spare(value: Any) -> Any:
    """`{"notin": [...], "broken": [...]}`, for content spare."""
    if not isinstance(value, dict) or set(value) != {"notin", "broken"}:
        raise ValueError('must be an object {"notin": [...], "broken": [...]}')
    if not all(isinstance(part, list) for part in value.values()):
        raise ValueError("notin and broken must be arrays of chunks")
    if not any(value.values()):
        raise ValueError("notin and broken are both empty: nothing to replace")
    return value
