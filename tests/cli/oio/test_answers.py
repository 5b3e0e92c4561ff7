"""What the bodies of replies prove, and what they do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.oio.conftest import Oio
from tests.cli.oio.test_transfer import Client, near
from tests.fakes import faults
from tests.fakes.faults import FaultServer
from tests.fakes.sds import Call, on

__all__ = ["near"]


def at(oio: Oio, server: FaultServer) -> Oio:
    where = ("--oio-url", server.url, "--namespace", "OPENIO", "--account", "ACCT")
    return Oio(oio.rdctl, *where, "--retries", "0")


# --- bodies that name a status ------------------------------------------------------------------


@pytest.mark.parametrize("word", ["status", '"status"'])
def test_a_message_about_a_status_is_no_fault_of_rdctl(
    oio: Oio, near: Callable[..., Client], word: str
) -> None:
    with FaultServer([faults.json({"message": word})]) as server:
        ran = at(oio, server)("reference", "get-properties", "r", "--json")
        touched = at(oio, server)("container", "touch", "c", "--json")
    assert (ran.code, ran.json["item"]["properties"]) == (0, {"message": word})
    assert (touched.code, touched.json["errors"][0]["code"]) == (10, "unknown")
    client = near()
    client.file("a", b"x")

    def answer(call: Call) -> None:
        call.body()
        call.json({"message": word})

    client.sds.faults.append(on("content/create", answer))
    put = client("put", "docs", "a", "--json")
    assert (put.code, put.json["errors"][0]["code"]) == (10, "unknown")


def test_a_property_named_status_is_a_property(oio: Oio) -> None:
    flat = {"message": "x", "status": "503"}
    with FaultServer([faults.json(flat)]) as server:
        ran = at(oio, server)("reference", "get-properties", "r", "--json")
    assert (ran.code, ran.json["item"]["properties"]) == (0, flat)
