"""OpenIO SDS: a namespace, its containers, references, accounts and services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Unpack

from rdctl.api.call import Changing, Noun, Setup, each, words
from rdctl.api.checking import within
from rdctl.api.conscience import Conscience
from rdctl.api.contents import Contents
from rdctl.api.models import Account, AccountContainer, Container, Location, Outcome, Reference
from rdctl.api.properties import WithProperties, pairs

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.sites import Site

Rows = list  # in a class, `list` is its method


class OpenIO(Noun):
    """A namespace, by its oio-proxy. Names are of the account of the site."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.containers = Containers(setup)
        self.contents = Contents(setup)
        self.references = References(setup)
        self.accounts = Accounts(setup)
        self.conscience = Conscience(setup)


class Containers(WithProperties):
    """Containers of objects."""

    _family = "container"

    def list(
        self, *, prefix: str | None = None, limit: int | None = None
    ) -> Rows[AccountContainer]:
        """The containers of the account, by name. The account service lists a new one about a
        second later."""
        return list(self.iterate(prefix=prefix, limit=limit))

    def iterate(
        self, *, prefix: str | None = None, marker: str | None = None, limit: int | None = None
    ) -> Iterator[AccountContainer]:
        """The same, as they come; `marker`: only names after this one."""
        within("limit", limit, 1)
        return each(
            self._setup,
            words("oio account containers", prefix=prefix, marker=marker, limit=limit),
            lambda site: site.oio.accounts.containers(prefix, marker, limit),
        )

    def show(self, name: str) -> Container:
        """A container with its counters and properties."""

        def act(site: Site) -> Listing:
            places = site.oio.places([name])
            site.oio.about(places)
            return site.oio.containers.show(places)

        return self._one(words("oio container show", name), act, Container)

    def exists(self, name: str) -> bool:
        """Whether there is a container of this name."""
        from rdctl.api.errors import NotFoundError

        try:
            self.show(name)
        except NotFoundError:
            return False
        return True

    def locate(self, name: str) -> Location:
        """The services that hold the database of a container."""
        return self._one(
            words("oio container locate", name),
            lambda site: site.oio.containers.locate(site.oio.places([name])),
            Location,
        )

    def create(
        self,
        *names: str,
        properties: Mapping[str, str] | None = None,
        quota: int | None = None,
        policy: str | None = None,
        max_versions: int | None = None,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Create containers. `quota` is bytes; `max_versions` the number of versions to keep, -1
        for all. An existing one is left unchanged; that is an error if it lacks the properties."""
        what = words(
            "oio container create",
            *names,
            property=pairs(properties),
            quota=None if quota is None else f"{quota}B",
            policy=policy,
            max_versions=max_versions,
        )

        def act(site: Site) -> Report:
            limits = {
                "sys.m2.quota": quota,
                "sys.m2.policy.storage": policy,
                "sys.m2.policy.version": max_versions,
            }
            given = {key: str(value) for key, value in limits.items() if value is not None}
            if policy is not None:
                site.oio.conscience.check_policy(policy)
            places = site.oio.places(names)
            return site.oio.containers.create(places, properties or {}, {}, {}, given)

        return self._change(what, act, options)

    def destroy(
        self, *names: str, flush: bool = False, force: bool = False, **options: Unpack[Changing]
    ) -> Outcome:
        """Destroy containers. One that is not empty is refused without `flush`, which deletes its
        objects first, or `force`, which leaves their chunks as orphans."""
        return self._change(
            words("oio container destroy", *names, flush=flush, force=force),
            lambda site: site.oio.containers.destroy(site.oio.places(names), flush, force),
            options,
        )

    def flush(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Delete all objects of containers."""
        return self._change(
            words("oio container flush", *names),
            lambda site: site.oio.containers.flush(site.oio.places(names)),
            options,
        )

    def touch(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Recompute the counters that the account has of containers."""
        return self._change(
            words("oio container touch", *names),
            lambda site: site.oio.touch("container", site.oio.places(names)),
            options,
        )

    def refresh(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Reset and recompute the counters that the account has of containers."""
        return self._change(
            words("oio container refresh", *names),
            lambda site: site.oio.refreshes.containers(site.oio.places(names)),
            options,
        )


class References(WithProperties):
    """Names in the directory, linked to services."""

    _family = "reference"

    def show(self, name: str, *, type: str | None = None) -> Reference:
        """A reference with its linked services, or those of one type."""
        return self._one(
            words("oio reference show", name, type=type),
            lambda site: site.oio.references.show(site.oio.places([name]), type),
            Reference,
        )

    def create(
        self,
        *names: str,
        properties: Mapping[str, str] | None = None,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Create references; an existing one is left unchanged."""
        return self._change(
            words("oio reference create", *names, property=pairs(properties)),
            lambda site: site.oio.references.create(site.oio.places(names), properties or {}, {}),
            options,
        )

    def destroy(self, *names: str, force: bool = False, **options: Unpack[Changing]) -> Outcome:
        """Destroy references; with `force` also those that are linked to services."""
        return self._change(
            words("oio reference destroy", *names, force=force),
            lambda site: site.oio.references.destroy(site.oio.places(names), force),
            options,
        )

    def link(self, name: str, type: str, **options: Unpack[Changing]) -> Outcome:
        """Link a service of this type, chosen by the directory; an existing link is kept."""
        return self._change(
            words("oio reference link", name, type),
            lambda site: site.oio.references.link(site.oio.place(name), type, renew=False),
            options,
        )

    def renew(self, name: str, type: str, **options: Unpack[Changing]) -> Outcome:
        """Replace a linked service that is down."""
        return self._change(
            words("oio reference renew", name, type),
            lambda site: site.oio.references.link(site.oio.place(name), type, renew=True),
            options,
        )

    def unlink(self, name: str, type: str, **options: Unpack[Changing]) -> Outcome:
        """Remove the links to services of a type."""
        return self._change(
            words("oio reference unlink", name, type),
            lambda site: site.oio.references.unlink(site.oio.place(name), type),
            options,
        )


class Accounts(Noun):
    """Groups of containers."""

    def list(self) -> Rows[str]:
        """The names of all accounts."""
        what = words("oio account list")
        return list(
            each(
                self._setup,
                what,
                lambda site: site.oio.accounts.names(),
                lambda row: str(row["account"]),
            )
        )

    def show(self, name: str | None = None) -> Account:
        """An account with its counters, by default that of the site."""
        names = None if name is None else [name]
        return self._one(
            words("oio account show", *(names or [])),
            lambda site: site.oio.accounts.show(names),
            Account,
        )

    def create(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Create accounts; an existing one is left unchanged."""
        return self._change(
            words("oio account create", *names),
            lambda site: site.oio.accounts.create(names),
            options,
        )

    def delete(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Delete accounts; one that lists containers is refused."""
        return self._change(
            words("oio account delete", *names),
            lambda site: site.oio.accounts.delete(names),
            options,
        )

    def set_properties(
        self,
        name: str,
        properties: Mapping[str, str],
        *,
        replace_all: bool = False,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Set properties of an account; others are kept unless `replace_all`."""
        return self._change(
            words("oio account set-properties", name, *pairs(properties), replace_all=replace_all),
            lambda site: site.oio.accounts.set_properties(name, properties, replace_all),
            options,
        )

    def del_properties(
        self, name: str, *keys: str, all: bool = False, **options: Unpack[Changing]
    ) -> Outcome:
        """Delete properties of an account: these, or `all`."""
        if bool(keys) == all:
            raise TypeError("give either keys or all=True")
        return self._change(
            words("oio account del-properties", name, *keys, all=all),
            lambda site: site.oio.accounts.del_properties(name, None if all else keys),
            options,
        )

    def refresh(self, *names: str, **options: Unpack[Changing]) -> Outcome:
        """Recompute the counters of accounts."""
        return self._change(
            words("oio account refresh", *names),
            lambda site: site.oio.refreshes.accounts(names),
            options,
        )
