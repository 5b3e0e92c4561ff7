"""A program that uses the API. mypy checks it: every `type: ignore` marks a mistake that it has to
find, since an unused one is an error too."""

from __future__ import annotations

import io
from typing import Any, assert_type

import rdctl
from rdctl.api.models import AccountContainer, Content, Target, Volume, VolumeDetail
from rdctl.api.streams import ObjectWriter


def work(site: rdctl.Site) -> list[str]:
    """What a user may write; returns the names of what it made."""
    assert_type(rdctl.connect("sandbox"), rdctl.Site)
    volumes = site.rapiddisk.volumes
    assert_type(volumes.list(), list[Volume])
    assert_type(volumes.show("rd0"), VolumeDetail)
    assert_type(volumes.show("rd0").usage, int | None)
    assert_type(site.rapiddisk.exports.show("rd0"), list[Target])
    assert_type(site.rapiddisk.caches.stats(), list[dict[str, Any]])
    made = volumes.create("64M", count=1, overcommit=True, timeout=30, dry_run=False)
    assert_type(made, rdctl.Outcome)
    assert_type(made.changes[0], rdctl.Change)
    assert_type(made.target, str)
    volumes.remove(made.target, consent=lambda losses: len(losses) == 1)
    volumes.resize("rd0", "+1M", force=True, unseen=["exports"], dry_run=True)
    assert_type(site.oio.containers.list(), list[AccountContainer])
    contents = site.oio.contents
    contents.put("photos", "typed", io.BytesIO(b"data"), properties={"a": "b"})
    assert_type(contents.show("photos", "typed"), Content)
    assert_type(contents.get("photos", "typed", start=1), bytes)
    with contents.open("photos", "typed") as reader:
        assert_type(reader.read(), bytes)
    with contents.open("photos", "typed", "wb", policy="SINGLE", yes=True) as writer:
        assert_type(writer, ObjectWriter)
        writer.write(b"more")
    try:
        volumes.remove("rd0")
    except rdctl.ConsentError as error:
        assert_type(error.losses, tuple[str, ...])
        assert_type(error.hint, str | None)
    except rdctl.Error as error:
        assert_type(error.code, str)
    return [made.target, contents.show("photos", "typed").path]


def mistakes(site: rdctl.Site) -> None:
    """What mypy has to find; never run."""
    rdctl.conect()  # type: ignore[attr-defined]
    rdctl.connect("lab", time_out=3)  # type: ignore[call-arg]
    site.rapiddisk.volumes.list(1)  # type: ignore[arg-type]
    site.rapiddisk.volumes.remove("rd1", yess=True)  # type: ignore[call-arg]
    site.rapiddisk.volumes.remove("rd1", consent=True)  # type: ignore[arg-type]
    site.rapiddisk.volumes.show("rd1").sise  # type: ignore[attr-defined]  # noqa: B018
    site.oio.contents.put("photos", "a", "text")  # type: ignore[arg-type]
    site.oio.contents.open("photos", "a", "r")  # type: ignore[call-overload]
    rdctl.Outcome(()).changed = True  # type: ignore[misc]
