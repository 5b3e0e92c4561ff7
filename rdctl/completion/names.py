"""Live names for completion: `rdctl __complete ...`, which only the scripts for the shells call.

Answered without click, within a time that nobody notices, from a cache of a few seconds; it changes
nothing, and says nothing when something is wrong.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

from rdctl.config.contexts import LOCAL, Config
from rdctl.config.resolve import resolve, several
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import CONTROL, human_size
from rdctl.effects.door import Effect, Effects
from rdctl.sites import Limits, Machine, Site, sandbox_path

if TYPE_CHECKING:
    from rdctl.core.environment import World
    from rdctl.core.results import Listing
    from rdctl.oio.model import Place
    from rdctl.workers import Workers

T = TypeVar("T")

# Seconds from the start of this to the answer: 0.3, less what Python takes to get here. A server
# gets what is left of them, and not less than LEAST: a slow start is no reason not to ask.
BUDGET = 0.28
LEAST = 0.1
# Seconds that an answer is good for.
FRESH = 5.0
# Names that are asked for at most.
MOST = 200

_PREFIX = "names-"

# The options that say where names are looked for.
_OPTIONS = {
    "--context": "context",
    "--rapiddisk-url": "rapiddisk_url",
    "--oio-url": "oio_url",
    "--namespace": "namespace",
    "--account": "account",
    "--cid": "cid",
    "--content-id": "content_id",
    "--content-version": "version",
    "--type": "type",
}
# Flags may stand before -c in one word, and its value behind it.
_SHORT = re.compile("(?s)-[0hiqy]*c(.*)")


class Name(NamedTuple):
    """A name, and what a shell may show beside it."""

    name: str
    about: str = ""


class Request(NamedTuple):
    """What is to be completed. `text` is what was typed of the name; `args` are the arguments
    before it; `options` those of `_OPTIONS`; `dashes`: it stands behind `--`."""

    kind: str
    noun: str
    text: str
    args: Sequence[str]
    options: Mapping[str, Any]
    dashes: bool


class Typed(NamedTuple):
    """A word of a command line of bash as far as it was typed: `text` is what it means, `raw` what
    may stay of it, `quote` the quotation mark that is open, and `opened` the place behind that."""

    text: str
    raw: str
    quote: str
    opened: int


# --- the conversation with the script ---------------------------------------------------------


def main(argv: Sequence[str], world: World) -> None:
    """`SHELL KIND OPTION HEAD VALUE N ARG... WORD...`: what is before VALUE in the same word
    (`--cid=`), the start of that word which the shell does not replace, N arguments, and all words
    before this one. For bash the words are as they were typed, and the answer is what takes the
    place of the rest of the word, a line each; for zsh they are without quotes, and the answer is
    NAME, a tab, and what is told of it."""
    started = world.clock()
    with suppress(Exception):
        shell, kind, option, head, value, count, *words = argv
        args, words = words[: int(count)], words[int(count) :]
        typed = unquoted(value) if shell == "bash" else Typed(value, value, "", 0)
        if shell == "bash":
            args = [unquoted(word).text for word in args]
            words = [unquoted(word).text for word in words]
        request = made(kind, typed.text, args, words)
        names = usable(answer(request, world, started), request)
        lines: Iterable[str] = (f"{name}\t{about}" for name, about in names)
        if shell == "bash":
            lines = replacements(names, request.text, typed, option, head)
        world.stdout.write("".join(f"{line}\n" for line in lines))
        world.stdout.flush()


def made(kind: str, text: str, args: Sequence[str], words: Sequence[str]) -> Request:
    """The request; of several contexts in one word the last is being typed."""
    kind, _, noun = kind.partition(":")
    if kind == "contexts":
        text = text.rpartition(",")[2]
    return Request(kind, noun, text, args, options_of(words), "--" in words)


def options_of(words: Iterable[str]) -> dict[str, Any]:
    """The options that matter here, in all their spellings."""
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            break
        if word == "--local":
            found["local"] = True
        elif name in _OPTIONS:
            found[_OPTIONS[name]] = value if equals else next(rest, "")
        elif short := _SHORT.fullmatch(word):
            found["context"] = short[1] or next(rest, "")
    return found


# Kinds of which there may be several arguments, and how many others stand before them.
_SEVERAL = {
    "volume": 0,
    "cache": 0,
    "container": 0,
    "type": 0,
    "content": 1,
    "key": 1,
    "assignment": 1,
    "address": 1,
}


def usable(names: Iterable[Name], request: Request) -> Iterator[Name]:
    """Those that can be typed here: no control characters, nothing that would be an option, none
    that stands there already."""
    before = _SEVERAL.get(request.kind)
    taken = () if before is None else request.args[before:]
    for name, about in names:
        option = name.startswith("-") and not request.dashes
        if name and not option and name not in taken and not CONTROL.search(name):
            yield Name(name, CONTROL.sub("?", about))


# --- the words of bash ------------------------------------------------------------------------

_SPECIAL = re.compile(r"[ !\"#$&'()*;<>?\[\\\]^`{|}~]")


def unquoted(word: str) -> Typed:
    """What a word means, whose quotes may be open still; nothing is expanded."""
    text, quote, opened, at = "", "", 0, 0
    while at < len(word):
        char = word[at]
        if char == "\\" and quote != "'":
            if at + 1 == len(word):
                return Typed(text, word[:at], quote, opened)
            following = word[at + 1]
            text += following if not quote or following in '"$`\\' else char + following
            at += 1
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote, opened = char, at + 1
        else:
            text += char
        at += 1
    return Typed(text, word, quote, opened)


def escaped(text: str, quote: str) -> str:
    """The text as it stands between such quotation marks, or without any."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote:
        # History is expanded between these as well, where a backslash would stay.
        return re.sub(r'["$`\\]', r"\\\g<0>", text).replace("!", "\"'!'\"")
    return _SPECIAL.sub(r"\\\g<0>", text)


def replacements(
    names: Iterable[Name], text: str, typed: Typed, option: str, head: str
) -> Iterator[str]:
    """What readline puts in place of the part of the word that it replaces: all that follows the
    `head`, or an open quotation mark."""
    start = len(option) + typed.opened if typed.quote else len(head)
    for name, _ in names:
        if name.startswith(text):
            whole = option + typed.raw + escaped(name[len(text) :], typed.quote)
            # readline adds the closing mark, unless there seems to be one.
            yield whole[start:] + (typed.quote if whole.endswith(typed.quote) else "")


# --- asking -----------------------------------------------------------------------------------


class _NoEffects(Effects):
    """Reads only."""

    def do(self, effect: Effect[T], assume: T, undo: Sequence[Effect[Any]] = ()) -> T:
        _refuse([effect.what])


def _refuse(losses: Sequence[str]) -> NoReturn:
    raise RdctlError(Code.INTERNAL, f"completion changes nothing: {', '.join(losses)}")


def answer(request: Request, world: World, started: float) -> list[Name]:
    """The names, from the cache, or from whoever knows them; empty when they cannot be had in
    time, which is kept as well."""
    config = Config(world.environ, world.root, world.home(), LEAST)
    if request.kind in ("context", "contexts"):
        return _contexts(config)
    site = _site(request, config, world)
    here = request.kind not in OPENIO and site.settings.get("rapiddisk") == LOCAL
    if request.kind in HERE and not here:
        return []
    if site.in_sandbox and not _is_there(sandbox_path(world.environ, world.home())):
        return []
    # This machine itself is quick to ask.
    cache = None if here else _Cache.of(request, site, world)
    names = cache.read() if cache else None
    if names is None:
        # All that is imported for it, before the time of the server begins.
        _ = site.oio if request.kind in OPENIO else site.rapiddisk
        with _alarm(max(BUDGET - (world.clock() - started), LEAST), cache):
            names = _found(site, request, world)
        if cache:
            cache.write(names)
    return names


def _found(site: Site, request: Request, world: World) -> list[Name]:
    """The names of this kind, as the site tells them now; none when something is wrong."""
    with suppress(Exception):
        if request.kind in HERE:
            return list(HERE[request.kind](site, world))
        return list((RAPIDDISK.get(request.kind) or OPENIO[request.kind])(site, request))
    return []


@contextmanager
def _alarm(seconds: float, cache: _Cache | None) -> Iterator[None]:
    """What takes longer than that ends here and now: a deadline of requests would not bound the
    resolver of host names."""

    def give_up() -> None:
        if cache:
            cache.write([])
        os._exit(0)

    alarm = threading.Timer(seconds, give_up)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


def _is_there(path: str) -> bool:
    """Whether the sandbox was made: it would be by asking it."""
    return os.path.exists(path) and os.path.getsize(path) > 0


def _site(request: Request, config: Config, world: World) -> Site:
    """The site that the settings name; of several the first."""
    options = request.options
    if contexts := several(config, options):
        options = {**options, "context": next(iter(contexts))}
    return Site(
        resolve(config, options),
        _NoEffects(ask=_refuse),
        Limits(None, 0),
        clock=world.clock,
        sleep=world.sleep,
        warn=lambda message: None,
        workers=_workers,
        config=config,
        sandbox_path=sandbox_path(world.environ, world.home()),
        machine=Machine.of(world),
    )


def _workers() -> Workers:
    from rdctl.workers import Workers

    return Workers(1)


# --- the cache --------------------------------------------------------------------------------


class _Cache(NamedTuple):
    """One answer in a file of its own, in a folder that is ours alone. Who cannot keep one asks
    each time."""

    folder: str
    name: str
    now: Callable[[], float]

    @classmethod
    def of(cls, request: Request, site: Site, world: World) -> _Cache:
        import hashlib

        folder = world.environ.get("XDG_CACHE_HOME", "")
        if not folder.startswith("/"):
            folder = os.path.join(world.home(), ".cache")
        folder = os.path.join(folder, "rdctl")
        # Others are told all their names, whatever was typed.
        text = request.text if request.kind in _BY_TEXT else ""
        args = request.args if _SEVERAL.get(request.kind) else ()
        where = sandbox_path(world.environ, world.home()) if site.in_sandbox else None
        said = (site.settings, where, *request._replace(text=text, args=args, dashes=False))
        digest = hashlib.blake2b(repr(said).encode("utf-8", "replace"), digest_size=16)
        return cls(folder, _PREFIX + digest.hexdigest(), world.now)

    def read(self) -> list[Name] | None:
        """The names, None when there is no fresh answer that we wrote ourselves."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with self._opened() as folder:
                descriptor = os.open(self.name, flags, dir_fd=folder)
            with open(descriptor, encoding="utf-8") as file:
                status = os.fstat(descriptor)
                fresh = 0 <= self.now() - status.st_mtime < FRESH
                if not (fresh and stat.S_ISREG(status.st_mode) and _private(status)):
                    return None
                return [Name(*line.rstrip("\n").split("\t", 1)) for line in file]
        except (OSError, ValueError, TypeError):
            return None

    def write(self, names: Iterable[Name]) -> None:
        part = f"{self.name}.{os.getpid()}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with suppress(OSError, ValueError):
            self._make_folder()
            with self._opened() as folder:
                self._sweep(folder)
                descriptor = os.open(part, flags, 0o600, dir_fd=folder)
                with open(descriptor, "w", encoding="utf-8") as file:
                    for name, about in names:
                        if not CONTROL.search(name):
                            file.write(f"{name}\t{CONTROL.sub('?', about)}\n")
                os.replace(part, self.name, src_dir_fd=folder, dst_dir_fd=folder)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder, held so that nobody can exchange it; OSError when it is not ours alone."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.folder, flags)
        try:
            if not _private(os.fstat(descriptor)):
                raise PermissionError(self.folder)
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_folder(self) -> None:
        """In a place that is ours: who became root with the home of another leaves nothing there
        that its owner cannot remove."""
        above = os.path.dirname(self.folder)
        while not os.path.lexists(above):
            above = os.path.dirname(above)
        if os.stat(above).st_uid == os.geteuid():
            os.makedirs(self.folder, mode=0o700, exist_ok=True)

    def _sweep(self, folder: int) -> None:
        """Remove the answers that are too old for anybody."""
        for name in os.listdir(folder):
            if name.startswith(_PREFIX):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if not 0 <= self.now() - status.st_mtime < FRESH:
                    os.unlink(name, dir_fd=folder)


def _private(status: os.stat_result) -> bool:
    """Whether nobody else can write there."""
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


# --- the kinds --------------------------------------------------------------------------------


def _contexts(config: Config) -> list[Name]:
    return [
        Name(name, ", ".join(str(context.values[key]) for key in _TOLD if key in context.values))
        for name, context in sorted(config.contexts.items())
    ]


_TOLD = ("rapiddisk", "oio", "namespace", "account")


def _volumes(site: Site, request: Request) -> Iterator[Name]:
    for volume in site.rapiddisk.volumes.list(None):
        size = "" if volume.size is None else human_size(volume.size)
        yield Name(volume.device, f"{size}, locked" if volume.locked else size)


def _caches(site: Site, request: Request) -> Iterator[Name]:
    for cache in site.rapiddisk.caches.list():
        yield Name(cache.device, f"{cache.volume or '?'} caches {cache.source or '?'}")


def _devices(site: Site, request: Request) -> Iterator[Name]:
    yield from _volumes(site, request)
    yield from _caches(site, request)


def _ports(site: Site, request: Request) -> Iterator[Name]:
    for port in site.rapiddisk.ports.list():
        told = (port.transport, port.address, port.service)
        yield Name(str(port.port), " ".join(filter(None, told)))


def _sources(site: Site, request: Request) -> Iterator[Name]:
    """Disks that a volume can cache; also as paths below /dev, if one is being typed."""
    before = "/dev/" if request.text.startswith("/") else ""
    for disk in site.rapiddisk.resources().value.disks:
        size = "" if disk.size is None else human_size(disk.size)
        yield Name(before + disk.device, " ".join(filter(None, (size, disk.vendor, disk.model))))


# NVMe-oF targets are looked for on this machine only: the daemon may die of being asked.


def _exports(site: Site, world: World) -> Iterator[Name]:
    for target in site.rapiddisk.exports.list(False):
        if target.device:
            yield Name(os.path.basename(target.device), target.nqn)


def _subsystems(site: Site, world: World) -> Iterator[Name]:
    devices: dict[str, list[str]] = {}
    for target in site.rapiddisk.exports.list(True):
        devices.setdefault(target.nqn, []).extend([target.device] if target.device else [])
    return (Name(nqn, ", ".join(exported)) for nqn, exported in devices.items())


def _hosts(site: Site, world: World) -> Iterator[Name]:
    targets = site.rapiddisk.exports.list(True)
    return (Name(host) for host in sorted({h for t in targets for h in t.hosts or ()}))


def _interfaces(site: Site, world: World) -> Iterator[Name]:
    for interface, address in _addresses_here(world):
        yield Name(interface, address)


def _addresses(site: Site, world: World) -> Iterator[Name]:
    for interface, address in _addresses_here(world):
        if address:
            yield Name(address, interface)


def _addresses_here(world: World) -> Iterator[tuple[str, str]]:
    """The network interfaces, each with its address, if it has one."""
    from rdctl.rapiddisk.kernel.addresses import address_of
    from rdctl.rapiddisk.kernel.sysfs import Sysfs

    machine = Machine.of(world)
    sysfs = Sysfs(machine.root)
    for interface in sysfs.names("sys/class/net"):
        address = None
        with suppress(OSError):
            address = address_of(interface, sysfs, machine.calls, _NoEffects(ask=_refuse))
        yield interface, address or ""


def _accounts(site: Site, request: Request) -> Iterator[Name]:
    return (Name(row["account"]) for row in site.oio.accounts.names())


def _containers(site: Site, request: Request) -> Iterator[Name]:
    def ask(marker: str | None, limit: int) -> Listing:
        return site.oio.accounts.containers(request.text, marker, limit)

    for container in _first(ask, request.text):
        yield Name(container.name, f"{container.objects} objects, {human_size(container.bytes)}")


def _contents(site: Site, request: Request) -> Iterator[Name]:
    container = None if request.options.get("cid") else request.args[0]
    place = site.oio.place(container, request.options.get("cid"))

    def ask(marker: str | None, limit: int) -> Listing:
        filters = {"prefix": request.text, "marker": marker}
        return site.oio.containers.entries(place, filters, limit)

    for entry in _first(ask, request.text):
        yield Name(entry.name, "" if entry.size is None else human_size(entry.size))


def _first(ask: Callable[[str | None, int], Listing], prefix: str) -> list[Any]:
    """The first names that begin so. Where more follow, one of those that share least with them is
    among the answer: the shell types what all have in common."""
    listing = ask(None, MOST)
    names = list(listing)
    if listing.marker is not None:
        # In order: what the first and the last begin with, all begin with.
        ends = zip(names[0].name, names[-1].name, strict=False)
        common = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
        if common != prefix:
            names += ask(common + "\U0010ffff", 1)
    return names


def _types(site: Site, request: Request) -> Iterator[Name]:
    return (Name(row["type"]) for row in site.oio.conscience.types())


def _services(site: Site, request: Request) -> Iterator[Name]:
    """The services of the type that stands before it; of all without one."""
    types = [word for word in request.args if ":" not in word][-1:]
    return _services_of(site, types or None)


def _replicas(site: Site, request: Request) -> Iterator[Name]:
    """The services that can hold the base of `--type`."""
    return _services_of(site, [request.options.get("type") or "meta2"])


def _services_of(site: Site, types: Sequence[str] | None) -> Iterator[Name]:
    for service in site.oio.conscience.services(types, False):
        yield Name(service.address, f"{service.type}, score {service.score}")


def _policies(site: Site, request: Request) -> Iterator[Name]:
    policies = site.oio.conscience.namespace().value.storage_policies
    return (Name(name, str(meaning)) for name, meaning in policies.items())


def _keys(site: Site, request: Request) -> Iterator[Name]:
    query = {"type": request.options.get("type") or "meta2"} if request.noun == "admin" else {}
    item = site.oio.properties.get(request.noun, _place(site, request), None, query)
    return (Name(key, value) for key, value in sorted(item.value.properties.items()))


def _assignments(site: Site, request: Request) -> Iterator[Name]:
    return (Name(f"{key}=", value) for key, value in _keys(site, request))


def _place(site: Site, request: Request) -> Place:
    """What the arguments and options so far name."""
    args, options = iter(request.args), request.options
    container = None if options.get("cid") else next(args)
    path = None
    if request.noun == "content" and not options.get("content_id"):
        path = next(args)
    ids = (options.get(key) for key in ("content_id", "version"))
    return site.oio.place(container, options.get("cid"), path, *ids)


# Asked of this machine only.
HERE: dict[str, Callable[[Site, World], Iterable[Name]]] = {
    "export": _exports,
    "nqn": _subsystems,
    "host": _hosts,
    "interface": _interfaces,
    "ip": _addresses,
}
_Kinds = dict[str, Callable[[Site, Request], Iterable[Name]]]
RAPIDDISK: _Kinds = {
    "volume": _volumes,
    "cache": _caches,
    "device": _devices,
    "source": _sources,
    "port": _ports,
}
OPENIO: _Kinds = {
    "account": _accounts,
    "container": _containers,
    "content": _contents,
    "type": _types,
    "address": _services,
    "replica": _replicas,
    "policy": _policies,
    "key": _keys,
    "assignment": _assignments,
}
_BY_TEXT = ("container", "content", "source")
