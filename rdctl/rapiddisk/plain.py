"""Exports and ports as plain data, as acts in the history have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rdctl.rapiddisk.auth import Auth
from rdctl.rapiddisk.model import NvmeNamespace, Port, PortDetail, Subsystem


def of_subsystem(subsystem: Subsystem | None) -> dict[str, Any] | None:
    if subsystem is None:
        return None
    namespaces = [namespace._asdict() for namespace in subsystem.namespaces]
    return {**subsystem._asdict(), "namespaces": namespaces}


def subsystem(data: Mapping[str, Any]) -> Subsystem:
    namespaces = tuple(
        NvmeNamespace(**{**one, "attributes": _pairs(one["attributes"])})
        for one in data["namespaces"]
    )
    return Subsystem(
        nqn=data["nqn"],
        any_host=data["any_host"],
        hosts=tuple(data["hosts"]),
        namespaces=namespaces,
        ports=tuple(data["ports"]),
        serial=data["serial"],
        attributes=_pairs(data["attributes"]),
    )


def of_auth(auth: Auth | None) -> dict[str, Any] | None:
    """Without the keys: only whether they are set."""
    if auth is None:
        return None
    keys = {"key": auth.key is not None, "ctrl_key": auth.ctrl_key is not None}
    return {**keys, "hash": auth.hash, "dhgroup": auth.dhgroup}


def of_port(detail: PortDetail) -> dict[str, Any]:
    return {**detail.port._asdict(), "attributes": detail.attributes}


def port(data: Mapping[str, Any]) -> PortDetail:
    values = {name: value for name, value in data.items() if name != "attributes"}
    return PortDetail(Port(**values), _pairs(data["attributes"]))


def _pairs(data: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name, text) for name, text in data)
