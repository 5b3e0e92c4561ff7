"""The completions of option values and arguments: one table for the whole tree."""

from __future__ import annotations

from collections.abc import Sequence

from rdctl.config.contexts import DIALECTS, KEYS
from rdctl.oio.routes import ROUTES

# Files, completed by the shell; keys of the command's schema, as a list or one after an optional -.
FILE = "file"
# Live names of containers, and files, completed by the shell.
CONTAINER_OR_FILE = "container-or-file"
KEY_LIST = "keys"
SORT_KEY = "sort-key"

# A kind of live name (see `names`), fixed words, or None without completions. Looked up by
# `PATH --option` or `PATH WORD`, then by `--option`, then by the WORD of the metavar alone;
# `{noun}` is the noun of the command.
VALUES: dict[str, str | tuple[str, ...] | None] = {
    # RapidDisk
    "VOLUME": "volume",
    "CACHE": "cache",
    "rdctl rapiddisk cache create --name": None,
    "SOURCE": "source",
    "DEVICE": "device",
    "EXPORT": "target",
    "rdctl rapiddisk nvmet unexport DEVICE": "export",
    "rdctl rapiddisk nvmet revalidate DEVICE": "export",
    "--nqn": "nqn",
    "--host": "host",
    "rdctl rapiddisk nvmet host list HOST": "host",
    "rdctl rapiddisk nvmet host set HOST": "host",
    "--port": "port",
    "rdctl rapiddisk nvmet port remove ID": "port",
    "rdctl rapiddisk nvmet port show ID": "port",
    "ID": None,
    "rdctl rapiddisk undo ID": "undoable",
    "IF": "interface",
    "IP": "ip",
    # OpenIO SDS. The directory lists no references, but each container is one.
    "CONTAINER": "container",
    "rdctl oio container create CONTAINER": None,
    "REFERENCE": "container",
    "rdctl oio reference create REFERENCE": None,
    "PATH": "content",
    **dict.fromkeys(("TARGET", "SNAPSHOT")),
    "KEY": "key:{noun}",
    "KEY=VALUE": "assignment:{noun}",
    "TYPE": "type",
    "--mime-type": None,
    "rdctl oio content sync SOURCE": CONTAINER_OR_FILE,
    "rdctl oio content sync TARGET": CONTAINER_OR_FILE,
    "ADDRESS": "address",
    "rdctl oio admin leave --service": "replica",
    "rdctl oio admin copy --to": "replica",
    "rdctl oio directory dump --service": "meta1",
    **dict.fromkeys(
        (
            f"rdctl oio volume {verb} VOLUME"
            for verb in (
                *("show", "chunks", "admin show", "admin incident"),
                *("admin lock", "admin unlock", "admin clear"),
            )
        ),
        "rawx",
    ),
    "WHO": None,
    **dict.fromkeys(("TUBE", "HOST:PORT"), None),
    "ACCOUNT": "account",
    "--policy": "policy",
    "--pool": "pool",
    "--slot": "slot",
    "rdctl oio lb poll --avoid": "known",
    "rdctl oio lb poll --known": "known",
    "rdctl oio conscience resolve ID": "address",
    "rdctl oio conscience wait TYPE": "type-or-address",
    "rdctl oio service config get ADDRESS": "configurable",
    "rdctl oio service config set ADDRESS": "configurable",
    "VARIABLE": "variable",
    "VARIABLE=VALUE": "variable-assignment",
    "rdctl oio admin remove --service": "replica",
    "rdctl oio admin has --service": "replica",
    "rdctl oio reference relink --from": "linked",
    "rdctl oio api METHOD": ("GET", "POST", "PUT", "DELETE"),
    "rdctl oio api PATH": tuple(sorted({route.path for route in ROUTES.values()})),
    # rdctl itself
    "--context": "contexts",
    "NAME": "context",
    "rdctl context rename NEW": None,
    "rdctl help TOPIC": (
        *("concepts", "exit-codes", "output", "environment", "config"),
        *(
            "rapiddisk",
            "oio",
            "doctor",
            "metrics",
            "check",
            "history",
            "context",
            "sandbox",
            "completion",
            "help",
            "version",
        ),
    ),
    "WORD": None,
    "rdctl context set KEY=VALUE": (
        *(f"{key}=" for key in KEYS),
        *(f"dialect={value}" for value in DIALECTS),
    ),
    # Those of rdctl.metrics.check, which takes long to import.
    "KEY=RANGE": tuple(
        "memory= overcommit= volumes= usage= caches= failed-caches= dirty= writeback= exports="
        " exposed-exports= state-file= missing= differing= extra= services-down= types-down="
        " events= buried-events=".split()
    ),
    "rdctl history ID": "command",
    "rdctl history --target": None,
    "TIME": None,
    "rdctl sandbox serve --host": "ip",
    "rdctl sandbox damage CONTAINER": "container:sandbox",
    "rdctl sandbox damage PATH": "content:sandbox",
    "SERVICE": "address:sandbox",
    "--columns": KEY_LIST,
    "--sort-by": SORT_KEY,
    "STYLE": tuple(
        "fancy_grid github grid html jira latex mediawiki orgtbl pipe plain presto"
        " pretty psql rst simple textile".split()
    ),
    "FILE": FILE,
    # Numbers, texts and IDs chosen by the user.
    **dict.fromkeys(
        "SIZE N S SECONDS PORT R D P M V HEX MD5 K=V NS URL TEXT JMESPATH UUID NGUID GLOB"
        " PATTERN".split()
    ),
}


def value_of(path: str, word: str, spellings: Sequence[str] = ()) -> str | tuple[str, ...] | None:
    """The completions of the value with the metavar `word`, of the command at `path`, of the
    option with these spellings. Raises KeyError if it is not in the table."""
    names = (*spellings, word)
    for key in (*(f"{path} {name}" for name in names), *names):
        if key in VALUES:
            value = VALUES[key]
            noun = "".join(path.split()[-2:-1])
            return value.format(noun=noun) if isinstance(value, str) else value
    raise KeyError(f"{path}: {' '.join(names)}")
