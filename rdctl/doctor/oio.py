"""OpenIO SDS: the proxy, and what it reports about the services behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, quoted
from rdctl.doctor.findings import (
    Check,
    Finding,
    after,
    compared,
    count,
    in_the_clear,
    is_here,
    rdctl_again,
    unless_any,
)

if TYPE_CHECKING:
    from rdctl.oio.model import Service
    from rdctl.sites import Site

# Containers whose masters are checked with --deep.
_CONTAINERS = 20
# Types without which a namespace stores nothing.
_ESSENTIAL = ("meta0", "meta1", "meta2", "rawx")
# Types that hold bases, for which they elect masters.
_ELECTING = ("meta0", "meta1", "meta2", "sqlx")


def _no_oio(site: Site) -> Iterator[Finding]:
    name = site.settings.context
    # Variables do not apply to a context that is named.
    other = "" if name else "--oio-url, OIO_PROXYD_URL, or "
    yield Finding.skipped(
        "not checked: no oio-proxy is configured",
        why=f"Set one: {other}rdctl context set {name or 'NAME'} oio=http://HOST:6002 namespace=NS",
    )


def _proxy(site: Site) -> Iterator[Finding]:
    url = site.settings.get("oio")
    begun = time.perf_counter()
    namespace = site.oio.conscience.namespace().value.namespace
    answers = f"oio-proxy answers{after(site, begun)}"
    yield Finding.ok(f"{answers}: dialect {site.oio.dialect()}, namespace {namespace}", subject=url)
    token = site.settings.credential("token_file", "oio")
    if token is not None and url.startswith("http:") and not is_here(url):
        yield in_the_clear(url)


def _services(site: Site) -> Iterator[Finding]:
    """Services whose score is 0, and types without a service that is up."""
    services: list[Service] = list(site.oio.conscience.services(None, True))
    up = [service for service in services if service.state == "up"]
    known = dict.fromkeys(service.type for service in services)
    for type in _ESSENTIAL:
        if type not in known:
            yield Finding.error(
                f"no {type} service is registered",
                subject=type,
                why="Nothing can be stored without one. Start one on its host.",
            )
    for type in known:
        of_type = [service for service in services if service.type == type]
        down = [service for service in of_type if service.state != "up"]
        if len(down) == len(of_type):
            yield _down(site, down, f"no {type} service is up", Finding.error)
        else:
            for service in down:
                name = f"{type} {service.address}"
                state = str(service.state).replace("-", " ")
                message = f"{name} has score {service.score}: it is {state}"
                if service.score is None:
                    message = f"{name} has an unreadable score"
                elif service.score < 0:
                    message = f"{name} was never scored"
                yield _down(site, [service], message, Finding.warning)
    if up:
        of_types = len({service.type for service in up})
        yield Finding.ok(f"{count(up, 'service')} of {count(range(of_types), 'type')} are up")


def _down(
    site: Site, services: Sequence[Service], message: str, severity: Callable[..., Finding]
) -> Finding:
    type, addresses = services[0].type, [service.address for service in services]
    words = " ".join(map(quoted, (type, *addresses)))
    subject = " ".join((type, *addresses))
    if all(service.state == "down" for service in services):
        return severity(message, subject=subject, why="Start it on its host.")
    return severity(
        message,
        subject=subject,
        why="If it is down, start it on its host; if it is locked, unlock it:",
        mend=rdctl_again(site, f"oio conscience unlock {words}"),
    )


def _elections(site: Site) -> Iterator[Finding]:
    """The services' own counts of elections: a proxy 4.2 reports them, a 3.3 does not."""
    services: list[Service] = list(site.oio.conscience.services(None, True))

    def found() -> Iterator[Finding]:
        for service in services:
            if service.type not in _ELECTING or service.state != "up":
                continue
            name = f"{service.type} {service.address}"
            try:
                counts = _counts(site.oio.services.ask("info", service.address))
            except RdctlError as error:
                if error.code is Code.UNSUPPORTED:
                    asked = rdctl_again(site, "doctor --deep")
                    yield Finding.skipped(
                        "not reported by this oio-proxy; to check containers instead:", mend=asked
                    )
                    return
                yield Finding.error(f"{name} does not answer", subject=name, why=error.message)
                if error.code is Code.TIMEOUT:
                    return  # no time is left for the others
                continue
            failed, pending = counts.get("failed", 0), counts.get("pending", 0)
            if failed:
                yield Finding.error(
                    f"{name} has no master for {count(range(failed), 'base')}",
                    subject=name,
                    why="They can be neither read nor written. To find their containers:",
                    mend=rdctl_again(site, "doctor --deep"),
                )
            elif pending:
                yield Finding.warning(
                    f"{name} is still electing a master for {count(range(pending), 'base')}",
                    subject=name,
                    why="This takes a moment. If it persists, the replicas cannot agree.",
                    mend=rdctl_again(site, "doctor --deep"),
                )

    yield from unless_any(found(), "no failed elections")


def _counts(info: Any) -> dict[str, int]:
    """The number of elections of a service by their state."""
    elections = info.get("elections") if isinstance(info, dict) else None
    pairs = elections.items() if isinstance(elections, dict) else ()
    return {state: count for state, count in pairs if isinstance(count, int)}


def _masters(site: Site) -> Iterator[Finding]:
    """The masters of the first containers of the account."""
    if site.settings.get("account") is None:
        yield _no_account()
        return
    listing = site.oio.accounts.containers(None, None, _CONTAINERS)
    names = [container.name for container in listing]
    more = " (more exist)" if listing.marker is not None else ""

    def found() -> Iterator[Finding]:
        for name in names:
            try:
                yield from _master(site, name)
            except RdctlError as error:
                if error.code is not Code.TIMEOUT:
                    raise
                yield Finding.error(
                    f'container "{escape(name)}" did not report its master in time',
                    subject=name,
                    why="Replicas that cannot agree on a master take a minute to report that.",
                    mend=rdctl_again(site, f"oio admin debug {quoted(name)}"),
                )
                return  # no time is left for the others

    fine = f"{count(names, 'container')} checked{more}: each has a master"
    yield from unless_any(found(), fine if names else "no containers")


def _master(site: Site, name: str) -> Iterator[Finding]:
    """What is wrong with the election of a container, if anything."""
    place = site.oio.place(name)
    try:
        replicas = list(site.oio.bases.replicas("status", place, {"type": "meta2"}))
        if any(replica["role"] == "master" for replica in replicas):
            return
        why = "; ".join(f"{replica['service']}: {replica['message']}" for replica in replicas)
    except RdctlError as error:
        if error.code is Code.NOT_FOUND:
            return  # destroyed meanwhile: the account is updated later
        if error.code is not Code.UNAVAILABLE:
            raise
        why = error.message
    yield Finding.error(
        f'container "{place.shown}" has no master',
        subject=name,
        why=f"{why}. Once its services are up, make them elect one:",
        mend=rdctl_again(site, f"oio admin ping {place.words}"),
    )


def _accounts(site: Site) -> Iterator[Finding]:
    name = site.settings.get("account")
    if name is None:
        yield _no_account()
        return
    try:
        account = site.oio.accounts.one(None)
    except RdctlError as error:
        if error.code is not Code.NOT_FOUND or error.target != name:
            raise
        yield Finding.ok(
            f"account {name} does not exist yet; creating a container creates it", subject=name
        )
        return
    yield Finding.ok(
        f"account {name} has {count(range(account.containers or 0), 'container')}", subject=name
    )


def _no_account() -> Finding:
    return Finding.skipped(
        "not checked: no account is configured",
        why="Set it with --account, OIO_ACCOUNT or in the context.",
    )


def _oio_clock(site: Site) -> Iterator[Finding]:
    yield compared(site.oio.server_time, "the clock of the account service")


_MANY = "queries every replica (use --deep)"
_CHECKS = (
    Check("proxy", _proxy),
    Check("services", _services),
    Check("elections", _elections),
    Check("masters", _masters, _MANY),
    Check("accounts", _accounts),
    Check("oio-clock", _oio_clock),
)


_MISSING = Check("oio", _no_oio)
ALL = (*_CHECKS, _MISSING)


def checks(site: Site) -> tuple[Check, ...]:
    """Those that apply to what is configured."""
    return _CHECKS if site.settings.get("oio") is not None else (_MISSING,)
