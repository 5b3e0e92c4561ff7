"""A call whose machine is behind SSH: rdctl there carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rdctl.remote.files import STATE, Offered
from rdctl.remote.near import Call, Near, Request
from rdctl.remote.session import started

if TYPE_CHECKING:
    from rdctl.core.environment import Environment
    from rdctl.core.results import Result
    from rdctl.core.unread import Unread
    from rdctl.remote.turns import Remotes
    from rdctl.sites import Site
    from rdctl.workers import Workers


def asked(
    remotes: Remotes,
    site: Site,
    request: Request,
    environment: Environment,
    *,
    files: tuple[str, ...],
    notice: Callable[[str], None],
    workers: Workers,
    unread: Unread,
) -> Result:
    """The result of a command there, as plain data. `files` are the state files of this side."""
    far = remotes.fars[site.settings.context] = started(
        site.settings,
        environment,
        batch=True,  # nothing is shown
        left=lambda: site.left,
        opening=remotes.opening,
    )
    offered = Offered(
        dict.fromkeys(files, STATE),
        replace=False,
        home=site.config.home,
        through=far.target.ssh(),
        environment=environment,
        effects=site.effects,
        workers=lambda: workers,
        left=lambda: site.left,
    )
    place = site.settings.again("").removeprefix("rdctl").strip()
    near = Near(
        site.effects,
        site.warn,
        notice,
        workers,
        unread,
        [],
        place,
        False,
        lambda: site.left,
        offered if files else None,
    )
    flags: dict[str, Any] = {**request.flags, "timeout": site.left}
    return Call(far, request._replace(flags=flags), near).result()


def options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """As they are typed."""
    return {
        name: True if value is True else [str(one) for one in _several(value)]
        for name, value in options.items()
    }


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
