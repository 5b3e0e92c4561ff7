"""The bill of materials: rdctl and the libraries of the lock file that run it, as CycloneDX."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from release import lock
from release.lock import Pin
from release.version import version_of


def document(tree: Path, epoch: int) -> str:
    """The same text for the same tree: its time is that of the commit."""
    libraries = sorted(lock.runtime(tree), key=lambda pin: pin.name)
    own = _component("application", "rdctl", version_of(tree))
    own["licenses"] = [{"expression": "Apache-2.0"}]
    found = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": own,
        },
        "components": [_library(pin) for pin in libraries],
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": _refs(libraries, lock.required(tree))},
            *(
                {
                    "ref": _purl(pin.name, pin.version),
                    "dependsOn": _refs(
                        libraries, {one.name for one in libraries if pin.name in one.askers}
                    ),
                }
                for pin in libraries
            ),
        ],
    }
    digest = hashlib.sha256(json.dumps(found).encode()).digest()
    found["serialNumber"] = uuid.UUID(bytes=digest[:16], version=4).urn
    return json.dumps(found, indent=2) + "\n"


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def _refs(libraries: list[Pin], names: set[str]) -> list[str]:
    return [_purl(pin.name, pin.version) for pin in libraries if pin.name in names]


def _component(kind: str, name: str, version: str) -> dict[str, Any]:
    purl = _purl(name, version)
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _library(pin: Pin) -> dict[str, Any]:
    """With the digests of all its files that the lock file admits."""
    digests = [{"alg": "SHA-256", "content": digest} for digest in pin.hashes]
    licenses = _licenses(pin)
    return {
        **_component("library", pin.name, pin.version),
        "hashes": digests,
        **({"licenses": licenses} if licenses else {}),
    }


def _licenses(pin: Pin) -> list[dict[str, Any]]:
    """What the installed library says of itself; nothing if it is another release."""
    try:
        known = metadata(pin.name)
    except PackageNotFoundError:
        return []
    if known["Version"] != pin.version:
        return []
    if expression := known["License-Expression"]:
        return [{"expression": str(expression)}]
    name = known["License"] or next(
        (
            line.rpartition(" :: ")[2]
            for line in known.get_all("Classifier", [])
            if line.startswith("License :: ")
        ),
        None,
    )
    return [{"license": {"name": str(name)}}] if name and "\n" not in str(name) else []
