"""The keys that scripts rely on: real output against the stored example of each schema.

The examples in tests/schemas/ are reviewed by hand. A key that goes, or changes its meaning, raises
the number of the schema; a new one is added to its example. An example of a single thing has a
value for every key, also for those that never have one together.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rdctl.cli.tree import LazyGroup, root
from rdctl.oio.integrity.model import Finding
from rdctl.oio.model import Shard
from rdctl.output.schemas import CHANGE, SCHEMAS
from rdctl.rapiddisk import model
from rdctl.rapiddisk.boot.model import BootStatus
from rdctl.rapiddisk.hosts import HostRow
from rdctl.rapiddisk.state.compare import Difference
from tests.conftest import Program, Ran
from tests.output.showing import EXAMPLES, rows_of

Sandbox = Callable[..., Ran]

# Schemas that are no rows of a command's own.
DOCUMENTS = {CHANGE.name, "rdctl.plan/1", "rdctl.error/1"}

# Keys of these come from the data.
MAPS = {
    "after",
    "before",
    "data_security",
    "metadata",
    "options",
    "properties",
    "service_pools",
    "storage_policies",
    "system",
    "tags",
}

# One of them has a chunk.
RAWX = " ".join(f"127.0.0.1:{port}" for port in (*range(16013, 16017), *range(16020, 16028)))
# A run of every command that shows something.
SHOWING = {
    "rapiddisk status": "rdctl.rapiddisk.status/1",
    "rapiddisk resources": "rdctl.rapiddisk.resources/1",
    "rapiddisk overview": "rdctl.rapiddisk.overview/1",
    "rapiddisk overview --deep": "rdctl.rapiddisk.overview/1",
    "rapiddisk list": "rdctl.rapiddisk.volume/1",
    "rapiddisk show rd1": "rdctl.rapiddisk.volume-detail/1",
    "rapiddisk show rd3": "rdctl.rapiddisk.volume-detail/1",
    "rapiddisk cache list": "rdctl.rapiddisk.cache/1",
    "rapiddisk cache show rc-wt_sdb": "rdctl.rapiddisk.cache/1",
    "rapiddisk cache stats": "rdctl.rapiddisk.cache-stats/1",
    "rapiddisk nvmet list": "rdctl.rapiddisk.target/1",
    "rapiddisk nvmet show rd0": "rdctl.rapiddisk.target/1",
    "rapiddisk nvmet port show 1": "rdctl.rapiddisk.port/1",
    "rapiddisk nvmet port list": "rdctl.rapiddisk.port/1",
    "rapiddisk nvmet host list": "rdctl.rapiddisk.host/1",
    "oio overview": "rdctl.oio.overview/1",
    "oio conscience info": "rdctl.oio.namespace/1",
    "oio conscience types": "rdctl.oio.type/1",
    "oio conscience list": "rdctl.oio.service/1",
    "oio conscience show rawx 127.0.0.1:16013": "rdctl.oio.service/1",
    "oio conscience resolve rawx 127.0.0.1:16013": "rdctl.oio.service-id/1",
    "oio conscience wait rawx": "rdctl.oio.service/1",
    "oio lb choose rawx --count 2": "rdctl.oio.choice/1",
    "oio lb poll --pool rawx2": "rdctl.oio.choice/1",
    "oio cache show": "rdctl.oio.service-id/1",
    "oio cache status": "rdctl.oio.cache/1",
    "oio service config get proxy": "rdctl.oio.variable/1",
    "oio service config get 127.0.0.1:16009 ns.worm": "rdctl.oio.variable/1",
    "oio reference show photos": "rdctl.oio.reference/2",
    "oio reference get-properties photos": "rdctl.oio.properties/1",
    "oio container show photos": "rdctl.oio.container/2",
    "oio container locate photos": "rdctl.oio.location/1",
    "oio container list": "rdctl.oio.account-container/1",
    "oio container list photos": "rdctl.oio.entry/1",
    "oio container list photos --delimiter / --properties": "rdctl.oio.entry/1",
    "oio container get-properties photos": "rdctl.oio.properties/1",
    "oio content list photos": "rdctl.oio.entry/1",
    "oio content show photos index.txt": "rdctl.oio.content/1",
    "oio content locate photos index.txt": "rdctl.oio.chunk/1",
    "oio content ranges photos --shards 3": "rdctl.oio.range/1",
    "oio content get-properties photos index.txt": "rdctl.oio.properties/1",
    "oio content prepare photos new --size 10": "rdctl.oio.content/1",
    "oio content spare photos index.txt --policy THREECOPIES --body -": "rdctl.oio.spare-chunk/1",
    "oio account list": "rdctl.oio.account-name/1",
    "oio account show": "rdctl.oio.account/2",
    "oio account containers": "rdctl.oio.account-container/1",
    "oio volume show 127.0.0.1:16013": "rdctl.oio.volume/1",
    f"oio volume chunks {RAWX}": "rdctl.oio.indexed-chunk/1",
    "oio volume assignation": "rdctl.oio.assignment/1",
    "oio volume admin show 127.0.0.1:16013": "rdctl.oio.volume-state/1",
    "oio events stats": "rdctl.oio.counter/1",
    "oio directory dump --prefix 8F": "rdctl.oio.mapped-prefix/1",
    "oio service stats 127.0.0.1:16009": "rdctl.oio.counter/1",
    "oio service ping 127.0.0.1:16009": "rdctl.oio.service-reply/2",
    "oio service version 127.0.0.1:16009": "rdctl.oio.service-reply/2",
    "oio admin ping photos": "rdctl.oio.replica/1",
    "oio admin status photos": "rdctl.oio.replica/1",
    "oio admin drop-cache photos --yes": "rdctl.oio.replica/1",
    "oio admin sync photos": "rdctl.oio.replica/1",
    "oio admin debug photos": "rdctl.oio.election/1",
    "oio admin leave photos --all --yes": "rdctl.oio.replica/1",
    "oio admin has photos": "rdctl.oio.replica/1",
    "oio admin info photos": "rdctl.oio.replica/1",
    "oio admin get-properties photos": "rdctl.oio.properties/1",
    "oio local list": "rdctl.oio.service/1",
    "doctor --deep": "rdctl.finding/1",
    "context list": "rdctl.context/1",
    "context show": "rdctl.setting/1",
    "context current": "rdctl.context/1",
    "history": "rdctl.history/1",
    "version": "rdctl.version/1",
    "sandbox path": "rdctl.sandbox/1",
}
# For `content spare`: the one chunk that is left.
LOST = {
    "notin": [
        {"url": f"http://127.0.0.1:16013/{'0' * 64}", "hash": "0" * 32, "pos": "0", "size": 37}
    ],
    "broken": [],
}
# What the sandbox, a proxy 4.2, answers with "unsupported".
UNSHOWN = {"oio service handlers"}
# Of what only another machine or version shows, or damaged objects: the data that its rows are made
# of.
MODELS: dict[str, Any] = {
    "rdctl.rapiddisk.volume/1": model.Volume,
    "rdctl.rapiddisk.volume-detail/1": model.VolumeDetail,
    "rdctl.rapiddisk.cache/1": model.Cache,
    "rdctl.rapiddisk.target/1": model.Target,
    "rdctl.rapiddisk.port/1": model.Port,
    "rdctl.rapiddisk.host/1": HostRow,
    "rdctl.rapiddisk.resources/1": model.Resources,
    "rdctl.rapiddisk.status/1": model.Status,
    "rdctl.rapiddisk.daemon/1": model.Unit,
    "rdctl.rapiddisk.overview/1": model.Overview,
    "rdctl.rapiddisk.difference/1": Difference,
    "rdctl.rapiddisk.boot/1": BootStatus,
    "rdctl.oio.finding/1": Finding,
    "rdctl.oio.shard/1": Shard,
}
CHANGING = {
    "rapiddisk create 1M": 0,
    "rapiddisk remove rd3 rd9 --yes": 1,
    "rapiddisk unlock rd3": 0,
    "rapiddisk lock rd3": 0,
    "context use sandbox": 0,
    "sandbox reset --yes": 0,
}


@pytest.fixture
def busy(sandbox: Sandbox) -> Sandbox:
    """A sandbox with volumes, caches of both kinds, a lock, and contexts of both kinds."""
    for words in (
        "rapiddisk create 64M --count 3",
        "rapiddisk cache create rd1 sdb",
        "rapiddisk cache create rd2 vdb --policy writeback --yes",
        "rapiddisk lock rd3",
        "context set lab rapiddisk=http://127.0.0.1:9118 protected=true timeout=60",
        "context set store oio=http://127.0.0.1:6002 namespace=NS account=me",
        "context use lab",
    ):
        assert sandbox(*words.split()).code == 0
    return sandbox


def commands(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every verb of the tree with the words that name it."""
    for name, (where, _) in group.children.items():
        module, _, attribute = where.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if isinstance(command, LazyGroup):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def keys_of(rows: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    return {tuple(row) for row in rows}


def fault(value: Any, examples: list[Any], where: str) -> str | None:
    """What is unlike all the examples: keys, their order, types; None when nothing is."""
    if isinstance(value, dict):
        known = [example for example in examples if isinstance(example, dict)]
        if where.rpartition(".")[2] in MAPS:
            inner = [entry for example in known for entry in example.values()]
            faults = [fault(entry, inner, f"{where}{{}}") for entry in value.values()]
        elif tuple(value) in keys_of(known):
            faults = [fault(value[k], [each[k] for each in known], f"{where}.{k}") for k in value]
        else:
            return f"{where}: the keys {list(value)}"
    elif isinstance(value, list):
        lists = [example for example in examples if isinstance(example, list)]
        if not lists:
            return f"{where}: a list"
        inner = [entry for example in lists for entry in example]
        faults = [fault(entry, inner, f"{where}[]") for entry in value]
    else:
        return None if type(value) in map(type, examples) else f"{where}: {value!r}"
    return next(filter(None, faults), None)


def row_fault(row: dict[str, Any], name: str) -> str | None:
    """The same of a row, where a key may also be null if its documentation says so."""
    rows = rows_of(EXAMPLES[name])
    null = {column.key: None for column in SCHEMAS[name].columns if "null" in column.doc}
    return fault(row, [*rows, {**rows[0], **null}], name)


def test_every_schema_has_an_example() -> None:
    assert set(EXAMPLES) == {*SCHEMAS, *DOCUMENTS}


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name in EXAMPLES])
def test_an_example_has_the_keys_of_its_schema(name: str) -> None:
    keys = tuple(column.key for column in SCHEMAS[name].columns)
    assert keys_of(rows_of(EXAMPLES[name])) == {keys}
    assert SCHEMAS[name].named_by in keys


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name in EXAMPLES])
def test_what_may_be_null_is_documented(name: str) -> None:
    nulls = {key for row in rows_of(EXAMPLES[name]) for key, value in row.items() if value is None}
    docs = {column.key: column.doc for column in SCHEMAS[name].columns}
    if not any("all else is null" in doc for doc in docs.values()):
        assert nulls <= {key for key, doc in docs.items() if "null" in doc}


def test_every_command_that_shows_something_is_held_against_its_schema() -> None:
    shown = {path: command for path, command in commands(root) if getattr(command, "shows", None)}
    tested = {path for path in shown if any(f"{run} ".startswith(f"{path} ") for run in SHOWING)}
    by_model = {path for path, command in shown.items() if command.shows in MODELS}
    assert set(shown) == tested | by_model | UNSHOWN


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_keys_of_its_schema(name: str) -> None:
    """Rows of this machine itself are made of the same data as those of a daemon."""
    keys = tuple(column.key for column in SCHEMAS[name].columns)
    assert keys == MODELS[name]._fields


@pytest.mark.parametrize("words", SHOWING)
def test_the_rows_of_a_command(words: str, busy: Sandbox, rdctl: Program) -> None:
    name = SHOWING[words]
    run = rdctl if words.startswith("context") else busy
    stdin = json.dumps(LOST).encode()
    document = run(*words.split(), "--json", stdin=stdin).json
    assert document["schema"] == name
    assert list(document) in (["schema", "item"], ["schema", "items", "complete"])
    rows = rows_of(document)
    assert rows
    for row in rows:
        assert row_fault(row, name) is None
    if "items" in document and not words.startswith("oio admin"):
        lines = run(*words.split(), "-o", "ndjson", stdin=stdin).out.splitlines()
        assert [list(json.loads(line)) for line in lines] == [list(row) for row in rows]


@pytest.mark.parametrize("words", CHANGING)
def test_the_outcomes_of_a_change(words: str, busy: Sandbox) -> None:
    ran = busy(*words.split(), "--json")
    example = EXAMPLES[CHANGE.name]
    assert ran.code == CHANGING[words]
    assert list(ran.json) == list(example)
    for change in ran.json["results"]:
        head = dict(list(change.items())[:4])  # the facts of a verb come after these
        assert fault(head, example["results"], "results") is None
        assert ("before" in change) == ("after" in change)
        if change["changed"] is False:
            assert change.get("before") == change.get("after")
    for failure in ran.json["errors"]:
        assert fault(failure, example["errors"], "errors") is None


@pytest.mark.parametrize("words", CHANGING)
def test_the_plan_of_a_change(words: str, busy: Sandbox) -> None:
    ran = busy(*words.split(), "--json", "--dry-run")
    assert list(ran.json) == list(EXAMPLES["rdctl.plan/1"])
    assert fault(ran.json["plan"], [EXAMPLES["rdctl.plan/1"]["plan"]], "plan") is None
    for change in ran.json["results"]:
        assert change["changed"] is not True


def test_an_error(busy: Sandbox) -> None:
    ran = busy("rapiddisk", "show", "rd9", "--json")
    assert fault(ran.json, [EXAMPLES["rdctl.error/1"]], "") is None
