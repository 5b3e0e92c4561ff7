"""OpenIO SDS: what is read of a namespace, each server by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from rdctl.metrics.model import Sample, sampled
from rdctl.metrics.parts import Group, Part

if TYPE_CHECKING:
    from rdctl.oio.model import Account, Service
    from rdctl.sites import Site

# The queue that services of OpenIO use.
_TUBE = "oio"
_STATES = ("ready", "urgent", "reserved", "delayed", "buried")


def services(site: Site) -> Group:
    """The proxy, and the conscience behind it."""
    return Group([Part("oio_services", partial(_services, site))])


def accounts(site: Site) -> Group:
    """The account service."""
    return Group([Part("oio_accounts", partial(_accounts, site))])


def events(site: Site) -> Group:
    """The beanstalkd, if the settings name one."""
    return Group([Part("oio_events", partial(_events, site))])


def _services(site: Site) -> Iterator[Sample]:
    namespace = site.settings.get("namespace")
    found: list[Service] = list(site.oio.conscience.services(None, True))
    yield from sampled("oio_proxy_info", 1, namespace=namespace, dialect=site.oio.dialect())
    for service in found:
        name = {"type": service.type, "service": service.address}
        up = None if service.state is None else service.state == "up"
        yield from sampled("oio_service_up", up, **name)
        yield from sampled("oio_service_locked", _locked(service), **name)
        yield from sampled("oio_service_score", service.score, **name)


def _locked(service: Service) -> bool | None:
    if service.locked is not None:
        return service.locked != "no"
    # Before 7 a lock and a score of zero look the same.
    return None if service.state in (None, "down-or-locked") else service.state == "locked"


def _accounts(site: Site) -> Iterator[Sample]:
    names = [row["account"] for row in site.oio.accounts.names()]
    yield Sample("oio_accounts", len(names))
    for account in site.oio.accounts.each(names):
        yield from _account(account)


def _account(account: Account) -> Iterator[Sample]:
    name = account.account
    yield from sampled("oio_account_containers", account.containers, account=name)
    yield from sampled("oio_account_objects", account.objects, account=name)
    yield from sampled("oio_account_bytes", account.bytes, account=name)


def _events(site: Site) -> Iterator[Sample]:
    counters = {one.name: one.value for one in site.oio_events.stats(None, _TUBE)}
    for state in _STATES:
        value = counters.get(f"current-jobs-{state}")
        if isinstance(value, int):
            yield from sampled("oio_events", value, queue=_TUBE, state=state)
    total = counters.get("total-jobs")
    if isinstance(total, int):
        yield from sampled("oio_events_queued_total", total, queue=_TUBE)
