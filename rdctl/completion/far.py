"""Names on a machine that is reached over SSH: rdctl there finds them.

Only over a connection that ssh shares already: a login takes longer than a person waits for TAB,
and may ask for something.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rdctl.completion.request import Candidate, CompletionRequest
from rdctl.remote.launch import is_shared, target_of
from rdctl.remote.session import started
from rdctl.remote.wire import COMPLETE, NAMES

if TYPE_CHECKING:
    from rdctl.core.environment import Environment
    from rdctl.remote.turns import Remotes
    from rdctl.sites import Site

# The caller ends this process long before.
_SECONDS = 10.0


def names_there(
    remotes: Remotes, site: Site, request: CompletionRequest, environment: Environment
) -> list[Candidate]:
    """The current names; none after an error."""
    with suppress(Exception):
        if is_shared(target_of(site.settings), environment.environ, remotes.opening):
            return _names(remotes, site, request, environment)
    return []


def _names(
    remotes: Remotes, site: Site, request: CompletionRequest, environment: Environment
) -> list[Candidate]:
    far = started(
        site.settings,
        environment,
        batch=True,
        left=lambda: _SECONDS,
        opening=remotes.opening,
    )
    try:
        far.out.tell(COMPLETE, of=request.kind, text=request.text, args=list(request.args))
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            message = far.get(_SECONDS)
            if message is not None and message["kind"] == NAMES:
                return [Candidate(str(name), str(about)) for name, about in message["names"]]
        return []
    finally:
        far.close()
