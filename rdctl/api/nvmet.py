"""Exports over NVMe-oF, and their ports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack, cast

from rdctl.api.call import Changing, Noun, words
from rdctl.api.checking import one_of, within
from rdctl.api.models import Outcome, Port, Target
from rdctl.rapiddisk.guards import Overrides

if TYPE_CHECKING:
    from rdctl.core.results import Report
    from rdctl.rapiddisk.auth import Settings
    from rdctl.sites import Site

Rows = list  # in a class, `list` is its method


class Keyed(Changing, total=False):
    """How hosts have to authenticate themselves: the file with the key of the host, that with the
    key of this machine, the hash function and the Diffie-Hellman group. Over SSH, the files are
    those of the other machine."""

    auth_key_file: str | None
    ctrl_key_file: str | None
    hash: str | None
    dhgroup: str | None


def _keys(options: Keyed) -> dict[str, str | None]:
    """As options of a command."""
    given = {key: options.get(key) for key in ("auth_key_file", "ctrl_key_file", "hash", "dhgroup")}
    if given["auth_key_file"] is None and any(given.values()):
        raise TypeError("ctrl_key_file, hash and dhgroup require auth_key_file")
    return cast("dict[str, str | None]", given)


def _settings(site: Site, keys: dict[str, str | None]) -> Settings:
    from rdctl.rapiddisk.auth import Settings, key_in

    host, controller = keys["auth_key_file"], keys["ctrl_key_file"]
    return Settings(
        None if host is None else key_in(host, site.left),
        None if controller is None else key_in(controller, site.left),
        keys["hash"],
        keys["dhgroup"],
    )


class Exports(Noun):
    """Devices that are exported over NVMe-oF; changes are local only."""

    def list(self, *names: str, incomplete: bool = False) -> list[Target]:
        """All exports, or those of these devices or NQNs; `incomplete` ones too."""
        return self._list(
            words("rapiddisk nvmet list", *names, all=incomplete),
            lambda site: site.rapiddisk.exports.list(incomplete, list(names) if names else None),
            Target,
        )

    def show(self, name: str) -> Rows[Target]:
        """The exports of a device, or the namespaces of an NQN."""
        return self._list(
            words("rapiddisk nvmet show", name),
            lambda site: site.rapiddisk.exports.show([name], ()),
            Target,
        )

    def create(
        self,
        *devices: str,
        ports: Sequence[int],
        hosts: Sequence[str] = (),
        any_host: bool = False,
        serial: str | None = None,
        uuid: str | None = None,
        nguid: str | None = None,
        recreate: bool = False,
        unseen: Sequence[str] = (),
        **options: Unpack[Keyed],
    ) -> Outcome:
        """Export devices on these ports to these hosts, or to any host. Missing ports and hosts of
        an existing export are added."""
        if bool(hosts) == any_host:
            raise TypeError("give either hosts or any_host=True")
        keys = _keys(options)
        if any_host and keys["auth_key_file"]:
            raise TypeError("auth_key_file requires hosts")
        what = words(
            "rapiddisk nvmet export",
            *devices,
            port=list(ports),
            host=list(hosts),
            any_host=any_host,
            serial=serial,
            uuid=uuid,
            nguid=nguid,
            recreate=recreate,
            unseen=list(unseen),
            **keys,
        )

        def act(site: Site) -> Report:
            from rdctl.rapiddisk.identity import Identity

            return site.rapiddisk.exports.export(
                devices,
                ports,
                hosts,
                any_host,
                Overrides(unseen=unseen),
                Identity(serial, uuid, nguid),
                recreate,
                lambda: _settings(site, keys),
            )

        return self._change(what, act, options)

    def remove(
        self,
        *devices: str,
        nqns: Sequence[str] = (),
        ports: Sequence[int] = (),
        hosts: Sequence[str] = (),
        **options: Unpack[Changing],
    ) -> Outcome:
        """Remove exports of devices, or of `nqns`; or only some of their ports or hosts."""
        if bool(devices) == bool(nqns):
            raise TypeError("give either devices or nqns")
        return self._change(
            words(
                "rapiddisk nvmet unexport",
                *devices,
                nqn=list(nqns),
                port=list(ports),
                host=list(hosts),
            ),
            lambda site: site.rapiddisk.exports.unexport(devices, nqns, ports, hosts),
            options,
        )

    def revalidate(self, *devices: str, **options: Unpack[Changing]) -> Outcome:
        """Notify clients of the new size of devices."""
        return self._change(
            words("rapiddisk nvmet revalidate", *devices),
            lambda site: site.rapiddisk.exports.revalidate(devices),
            options,
        )


class Ports(Noun):
    """Addresses on which devices can be exported; changes are local only."""

    def list(self) -> list[Port]:
        """All ports."""
        what = words("rapiddisk nvmet port list")
        return self._list(what, lambda site: site.rapiddisk.ports.list(), Port)

    def show(self, number: int) -> Port:
        """The port of this number."""
        what = words("rapiddisk nvmet port show", number)
        return self._one(what, lambda site: site.rapiddisk.ports.show([str(number)]), Port)

    def add(
        self,
        number: int,
        transport: str,
        *,
        address: str | None = None,
        interface: str | None = None,
        service: int | None = None,
        tls: bool = False,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Add a port: `transport` is tcp, rdma or loop; the first two have either an address or an
        interface. With `tls` clients must encrypt (tcp only)."""
        within("number", number, 0, 65535)
        within("service", service, 1, 65535)
        one_of("transport", transport, ("tcp", "rdma", "loop"))
        if tls and transport != "tcp":
            raise TypeError("tls requires the transport tcp")
        if transport == "loop":
            if address or interface or service:
                raise TypeError("a loop port has no address, interface or service")
        elif (address is None) == (interface is None):
            raise TypeError("give either address or interface")
        what = words(
            "rapiddisk nvmet port add",
            number,
            transport=transport,
            address=address,
            interface=interface,
            service=service,
            tls=tls,
        )
        return self._change(
            what,
            lambda site: site.rapiddisk.ports.add(
                number, transport, interface, address, str(service or 4420), tls=tls
            ),
            options,
        )

    def remove(self, *numbers: int, **options: Unpack[Changing]) -> Outcome:
        """Remove unused ports."""
        return self._change(
            words("rapiddisk nvmet port remove", *numbers),
            lambda site: site.rapiddisk.ports.remove(list(map(str, numbers))),
            options,
        )
