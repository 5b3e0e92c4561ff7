"""Live names for completion: `rdctl __complete ...`, which only the scripts for the shells call.

Answered without click, within a time that nobody notices, from a cache of a few seconds; it changes
nothing, and says nothing when something is wrong.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rdctl.completion.cache import AnswerCache
from rdctl.completion.names import HERE, KINDS, OPENIO, NoEffects, contexts, refuse
from rdctl.completion.request import (
    Candidate,
    CompletionRequest,
    Typed,
    made,
    replacements,
    unquoted,
    usable,
)
from rdctl.config.contexts import LOCAL, Config
from rdctl.config.resolve import resolve, several
from rdctl.sites import Limits, Site

if TYPE_CHECKING:
    from rdctl.core.environment import Environment
    from rdctl.workers import Workers


# Seconds from the start of this to the answer: 0.3, less what Python takes to get here. A server
# gets what is left of them, and not less than LEAST: a slow start is no reason not to ask.
BUDGET = 0.28
LEAST = 0.1


def main(argv: Sequence[str], environment: Environment) -> None:
    """`SHELL KIND OPTION HEAD VALUE N ARG... WORD...`: what is before VALUE in the same word
    (`--cid=`), the start of that word which the shell does not replace, N arguments, and all words
    before this one. For bash the words are as they were typed, and the answer is what takes the
    place of the rest of the word, a line each; for zsh they are without quotes, and the answer is
    NAME, a tab, and what stands beside it."""
    started = environment.clock()
    with suppress(Exception):
        shell, kind, option, head, value, count, *words = argv
        args, words = words[: int(count)], words[int(count) :]
        typed = unquoted(value) if shell == "bash" else Typed(value, value, "", 0)
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
    """The names, from the cache, or from whoever knows them; empty when they cannot be had in
    time, which is kept as well."""
    config = Config(environment.environ, environment.root, environment.home(), LEAST)
    if request.kind in ("context", "contexts"):
        return contexts(config)
    site = _site(request, config, environment)
    here = request.kind not in OPENIO and site.settings.get("rapiddisk") == LOCAL
    if request.kind in HERE and not here:
        return []
    if site.in_sandbox and not _is_there(site.sandbox_path):
        return []
    # This machine itself is quick to ask.
    cache = None if here else AnswerCache.of(request, site, environment)
    names = cache.read() if cache else None
    if names is None:
        # All that is imported for it, before the time of the server begins.
        _ = site.oio if request.kind in OPENIO else site.rapiddisk
        with _alarm(max(BUDGET - (environment.clock() - started), LEAST), cache):
            names = _found(site, request)
        if cache:
            cache.write(names)
    return names


def _found(site: Site, request: CompletionRequest) -> list[Candidate]:
    """The names of this kind, as the site tells them now; none when something is wrong."""
    with suppress(Exception):
        return list(KINDS[request.kind](site, request))
    return []


@contextmanager
def _alarm(seconds: float, cache: AnswerCache | None) -> Iterator[None]:
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


def _site(request: CompletionRequest, config: Config, environment: Environment) -> Site:
    """The site that the settings name; of several the first."""
    options = request.options
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
