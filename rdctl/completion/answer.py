"""Live names for completion: `rdctl __complete ...`, which only the scripts for the shells call.

Answered without click, within an unnoticeable time, from a cache of a few seconds. Nothing is
changed, and errors are not shown.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rdctl.completion.cache import AnswerCache
from rdctl.completion.names import HERE, HISTORY, KINDS, OPENIO, NoEffects, contexts, refuse
from rdctl.completion.request import (
    Candidate,
    CompletionRequest,
    Typed,
    made,
    replacements,
    unquoted,
    usable,
)
from rdctl.config.contexts import Config
from rdctl.config.resolve import resolve, several
from rdctl.sites import Limits, Site

if TYPE_CHECKING:
    from rdctl.core.environment import Environment
    from rdctl.workers import Workers


# Seconds for an answer: 0.3, minus the start of Python. A server gets the rest, but at least LEAST,
# even after a slow start.
BUDGET = 0.28
LEAST = 0.1


def main(argv: Sequence[str], environment: Environment) -> None:
    """`SHELL KIND OPTION HEAD VALUE N ARG... WORD...`: OPTION is the text before VALUE in the same
    word (`--cid=`), HEAD the start of that word that the shell does not replace; then N arguments,
    and all previous words. For bash the words are quoted as typed, and each line of the answer
    replaces the rest of the word; for zsh they are unquoted, and each line is NAME, a tab, and its
    description."""
    started = environment.clock()
    with suppress(Exception):
        shell, kind, option, head, value, count, *words = argv
        args, words = words[: int(count)], words[int(count) :]
        typed = unquoted(value) if shell == "bash" else Typed(value, value, "", 0)
        if typed.runs:
            return
        if shell == "bash":
            args = [unquoted(word).text for word in args]
            words = [unquoted(word).text for word in words]
        request = made(kind, typed.text, args, words)
        names = usable(answer(request, environment, started), request)
        lines: Iterable[str] = (f"{name}\t{about}" for name, about in names)
        if shell == "bash":
            lines = replacements(names, request.text, typed, option, head)
        environment.stdout.write("".join(f"{line}\n" for line in lines))
        environment.stdout.flush()


def answer(request: CompletionRequest, environment: Environment, started: float) -> list[Candidate]:
    """The names, from the cache or the site; empty after a timeout, which is cached as well."""
    config = Config(environment.environ, environment.root, environment.home(), LEAST)
    if request.kind in ("context", "contexts"):
        return contexts(config)
    site = _site(request, config, environment)
    if request.kind in HISTORY:
        return _found(site, request, environment)
    here = request.kind not in OPENIO and site.settings.is_local
    far = request.kind not in OPENIO and site.settings.over_ssh
    if request.kind in HERE and not here and not far:
        return []
    if site.in_sandbox and not _is_there(site.sandbox_path):
        return []
    # Querying this machine is fast.
    cache = None if here else AnswerCache.of(request, site, environment)
    names = cache.read() if cache else None
    if names is None:
        # Import everything before the time of the server starts.
        find, end = _found, _nothing
        if far:
            from rdctl.completion.far import names_there
            from rdctl.remote.turns import Remotes

            remotes = Remotes()
            find, end = partial(names_there, remotes), remotes.close
        else:
            _ = site.oio if request.kind in OPENIO else site.rapiddisk
        with _alarm(max(BUDGET - (environment.clock() - started), LEAST), cache, end):
            names = find(site, request, environment)
        if cache:
            cache.write(names)
    return names


def there(
    kind: str, text: str, args: Sequence[str], options: Mapping[str, Any], environment: Environment
) -> list[Candidate]:
    """The names on this machine, for an rdctl on another one; `options` select the place here."""
    request = CompletionRequest(kind, "", text, args, options, False)
    config = Config(environment.environ, environment.root, environment.home())
    return _found(_site(request, config, environment), request, environment)


def _found(site: Site, request: CompletionRequest, environment: Environment) -> list[Candidate]:
    """The current names of this kind; none after an error."""
    with suppress(Exception):
        return list(KINDS[request.kind](site, request))
    return []


def _nothing() -> None:
    """Nothing to end."""


@contextmanager
def _alarm(seconds: float, cache: AnswerCache | None, end: Callable[[], None]) -> Iterator[None]:
    """Exit after so many seconds, and `end` what would be left: a deadline of requests would not
    limit the resolver of host names."""

    def give_up() -> None:
        if cache:
            cache.write([])
        try:
            end()
        finally:
            os._exit(0)

    alarm = threading.Timer(seconds, give_up)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


def _is_there(path: str) -> bool:
    """Whether the sandbox exists: a query would create it."""
    return os.path.exists(path) and os.path.getsize(path) > 0


def _site(request: CompletionRequest, config: Config, environment: Environment) -> Site:
    """The site of the settings in effect; of several contexts the first."""
    options = dict(request.options)
    if request.noun == "sandbox":
        options["context"] = "sandbox"
    if contexts := several(config, options):
        options = {**options, "context": next(iter(contexts))}
    return Site(
        resolve(config, options),
        NoEffects(ask=refuse),
        Limits(None, 0),
        config,
        environment,
        warn=lambda message: None,
        workers=_workers,
    )


def _workers() -> Workers:
    from rdctl.workers import Workers

    return Workers(1)
