"""What OpenIO's own client and raw requests got about services, variables, caches, links and copies
of databases (docs/wire/oio-parity.md), replayed."""

from __future__ import annotations

import re
from pathlib import Path

from tests.sandbox.oio.parity import RECORDINGS, faults, replay
from tests.sandbox.oio.replay import Step, post

REPLAYED = [
    *range(443, 448),  # conscience/resolve
    *range(455, 468), *range(469, 476),  # lb, cache
    477, 478, *range(480, 486), 488, 489, 491, 492, 493, *range(495, 499),  # config, forward
    514, *range(516, 529),  # relink, renew
    529, 531, 532, *range(534, 541), *range(542, 545), *range(546, 554),  # admin
    *range(583, 588), *range(633, 646),  # relink again
]  # fmt: skip
LEFT_OUT: dict[str, list[int]] = {
    "the services of that namespace, with those that the sandbox does not have": [
        *range(448, 454), 499,
    ],
    "a choice that is flawed by the distance of services": [468],
    "the variables of a real service are 126 or more": [476, 479, 487],
    "the SQLite options of a real build": [494, 530],
    "an HTTP service does not speak the protocol: the sandbox says that it timed out": [490],
    "the pool of type rdir in that namespace links a rawx, too": [515, 588, 589],
    "a single meta2 can be told to replicate; here, without replicas it cannot": [533],
    "the path of a base of meta1": [541],
    "the objects of a container": [545],
    "the assignment of rdir services, which is left to OpenIO's client": [339, 340, 341],
}  # fmt: skip
OURS = re.compile(
    "/(conscience/resolve|lb/(?!choose.type=account)|cache/|local/|(forward/)?config"
    "|forward/|reference/(relink|renew)|admin/(has|info|remove|vacuum|copy))"
)
THREE = "meta2=KEEP|3|1;sqlx=KEEP|1|1"
ONE = "meta2=KEEP|1|1;sqlx=KEEP|1|1"


def replicas(policy: str) -> list[Step]:
    return post("/v3.0/config", {"ns.service_update_policy": policy})


def only(*addresses: str) -> list[Step]:
    """Only these meta2 services can be chosen."""
    every = ("127.0.0.1:17008", "127.0.0.1:17009", "127.0.0.1:17010")
    locks = [{"type": "meta2", "addr": one, "score": 90 * (one in addresses)} for one in every]
    return post("conscience/lock", locks)


def relinked_with_all_kept(reference: str, address: str) -> list[Step]:
    kept = {"seq": 1, "type": "meta2", "host": address, "args": ""}
    body = {"kept": kept, "replaced": None}
    return post(f"reference/relink?acct=pa1&ref={reference}&type=meta2", body)


def test_it_is_as_recorded(tmp_path: Path) -> None:
    """The recorded pool had one service, whatever the policy says of replicas."""
    arranged = {
        516: [*replicas(ONE), *only("127.0.0.1:17008")],
        520: [*replicas(THREE), *only("127.0.0.1:17008", "127.0.0.1:17010")],
        529: [
            *replicas(ONE),
            *only("127.0.0.1:17010"),
            *post("container/create?acct=pa1&ref=pc1"),
            *post("container/create?acct=pa1&ref=pc2"),
        ],
        583: [*replicas(THREE), *only("127.0.0.1:17008", "127.0.0.1:17010")],
        587: relinked_with_all_kept("pr1", "127.0.0.1:17010"),
        635: [*replicas(ONE), *only("127.0.0.1:17010")],
        636: only("127.0.0.1:17008"),
        642: replicas(THREE),
    }
    found = faults(replay(tmp_path / "store"), REPLAYED, arranged)
    assert not found, "\n".join(found)


def test_every_recording_of_these_is_replayed_or_left_out() -> None:
    left = {number for numbers in LEFT_OUT.values() for number in numbers}
    assert left.isdisjoint(REPLAYED)
    ours = {n for n, one in enumerate(RECORDINGS) if OURS.search(one["path"])}
    assert ours - {*REPLAYED} - left == set()
    assert len(REPLAYED) == len(set(REPLAYED))
