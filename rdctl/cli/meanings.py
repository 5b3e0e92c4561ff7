"""Usual words for verbs that rdctl calls otherwise: synonyms work, other words are suggested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.core.units import nearest

if TYPE_CHECKING:
    from collections.abc import Collection

# For each noun, words that work as others do; hidden from help. None is, or will be, a verb there.
# A synonym of a verb that destroys takes one target.
_FOR_REMOVE = dict.fromkeys(("rm", "delete", "destroy"), "remove")
_FOR_DESTROY = dict.fromkeys(("rm", "delete", "remove"), "destroy")
_FOR_READING = {"ls": "list", "info": "show", "describe": "show"}
SYNONYMS: dict[str, dict[str, str]] = {
    "rdctl": {
        **dict.fromkeys(("rd", "disk", "disks", "volume", "volumes"), "rapiddisk"),
        **dict.fromkeys(("openio", "sds"), "oio"),
        **dict.fromkeys(("object", "objects", "content"), "oio content"),
        **dict.fromkeys(("bucket", "buckets", "container"), "oio container"),
        "contexts": "context",
    },
    "rdctl rapiddisk": {
        **_FOR_REMOVE,
        **_FOR_READING,
        "erase": "flush",
        "backup": "save",
        "restore": "load",
        "map": "cache create",
        "unmap": "cache remove",
        "export": "nvmet export",
    },
    "rdctl rapiddisk cache": {**_FOR_REMOVE, **_FOR_READING, "map": "create", "unmap": "remove"},
    "rdctl rapiddisk nvmet": {**_FOR_READING, "ports": "port"},
    "rdctl rapiddisk nvmet port": {**_FOR_REMOVE, **_FOR_READING, "create": "add"},
    "rdctl rapiddisk nvmet host": {"ls": "list"},
    "rdctl oio": {
        **dict.fromkeys(("object", "objects"), "content"),
        **dict.fromkeys(("bucket", "buckets"), "container"),
    },
    "rdctl oio conscience": {"ls": "list"},
    "rdctl oio reference": {**_FOR_DESTROY, "info": "show", "describe": "show"},
    "rdctl oio container": {**_FOR_DESTROY, **_FOR_READING, "empty": "flush"},
    "rdctl oio content": {
        **_FOR_READING,
        **dict.fromkeys(("rm", "remove", "destroy"), "delete"),
        "cat": "get --to -",
        "download": "get",
        "upload": "put",
    },
    "rdctl oio account": {
        **_FOR_READING,
        **dict.fromkeys(("rm", "remove", "destroy"), "delete"),
    },
    "rdctl oio local": {"ls": "list"},
    "rdctl oio cache": {"ls": "show", "list": "show"},
    "rdctl context": {**_FOR_READING, "rm": "remove", "delete": "remove", "switch": "use"},
}

_SHOW = "inspect view display"
_REMOVE = "del drop"
_PROPERTIES = {
    "get-properties": "properties metadata getprops get-property",
    "set-properties": "set setprops set-property",
    "del-properties": "unset unset-properties delete-properties remove-properties del-property",
}

# For each noun, a verb (or a verb of a noun in it) and the words for which it is suggested.
MEANINGS: dict[str, dict[str, str]] = {
    "rdctl": {
        "rapiddisk": "ramdisk ramdisks",
        "rapiddisk list": "ls list get",
        "rapiddisk create": "create lvcreate",
        "rapiddisk overview": "top df overview status",
        "rapiddisk cache": "cache caches",
        "rapiddisk nvmet": "nvmet exports",
        "oio": "containers accounts",
        "oio content put": "put upload cp copy",
        "oio content get": "download cat",
        "context": "config configure ctx profile",
        "context use": "use switch",
        "doctor": "diagnose health",
        "metrics": "prometheus exporter statistics",
        "check": "nagios icinga plugin monitor",
        "completion": "completions complete autocomplete",
        "sandbox": "demo simulate",
    },
    "rdctl rapiddisk": {
        "list": "dir volumes lvs",
        "overview": "df top summary",
        "nvmet list": "exports targets",
        "cache sync": "sync",
        "show": f"{_SHOW} get",
        "status": "version health ping",
        "resources": "memory mem disks",
        "create": "add new make mk attach",
        "resize": "grow shrink expand extend",
        "flush": "wipe",
        "remove": f"{_REMOVE} detach",
        "lock": "readonly freeze",
        "unlock": "writable thaw",
        "cache stats": "stats stat statistics iostat",
        "nvmet unexport": "unexport",
    },
    "rdctl rapiddisk cache": {
        "list": "dir",
        "show": f"{_SHOW} get",
        "stats": "stat statistics status",
        "create": "add new make attach",
        "remove": f"{_REMOVE} detach",
        "sync": "flush writeback clean",
    },
    "rdctl rapiddisk nvmet": {
        "list": "dir status",
        "show": f"{_SHOW} get",
        "export": "add create new share",
        "unexport": f"rm delete destroy {_REMOVE} erase remove unshare",
        "revalidate": "refresh rescan resize",
    },
    "rdctl rapiddisk nvmet port": {
        "list": "dir",
        "show": f"{_SHOW} get",
        "add": "new make",
        "remove": _REMOVE,
    },
    "rdctl rapiddisk nvmet host": {
        "list": f"dir {_SHOW} show get",
        "set": "add create new key auth authenticate rotate",
    },
    "rdctl rapiddisk boot": {
        "enable": "on install persist save",
        "status": f"info describe {_SHOW} list",
    },
    "rdctl rapiddisk daemon": {
        "status": f"info describe {_SHOW} is-active",
        "start": "run up",
        "stop": "kill down",
    },
    "rdctl oio": {
        "content": "file files contents",
        "container": "containers",
        "account": "accounts",
        "conscience": "cluster namespace services score scores",
        "admin": "election elections database databases",
        "volume": "rdir rdirs disk disks",
        "overview": "du df size status",
        "lb": "loadbalancer balancer balance pool pools",
        "service config": "config",
        "content list": "ls list",
        "container create": "mb mkdir create",
        "content put": "put upload cp",
        "content get": "get download cat",
    },
    "rdctl oio conscience": {
        "info": "status namespace",
        "list": "dir services score scores",
        "show": f"describe {_SHOW}",
        "register": "add create new",
        "wait": "await wait-for ready",
    },
    "rdctl oio lb": {
        "choose": "pick select get",
        "poll": "ask spare",
    },
    "rdctl oio cache": {
        "status": "stats stat usage fill",
        "flush": "empty drop erase wipe",
    },
    "rdctl oio service config": {
        "get": f"show list ls {_SHOW}",
        "set": "put change update modify",
    },
    "rdctl oio reference": {
        "create": "add new make",
        "show": f"{_SHOW} get list ls services",
        "destroy": _REMOVE,
        "link": "attach",
        **_PROPERTIES,
    },
    "rdctl oio container": {
        "create": "add new make mk mb mkdir",
        "show": f"{_SHOW} get stat head du usage quota",
        "list": "dir contents objects",
        "destroy": f"{_REMOVE} rb rmdir",
        "check": "verify fsck",
        "refresh": "recount recompute",
        "locate": "where find",
        "snapshot": "backup clone",
        **_PROPERTIES,
    },
    "rdctl oio content": {
        "list": "dir",
        "show": f"{_SHOW} stat head",
        "locate": "analyze where",
        "undelete": "restore recover",
        "delete": f"{_REMOVE} unlink",
        "put": "push send add store rcat",
        "append": "extend join",
        "get": "pull fetch read save",
        "copy": "cp",
        "link": "ln fastcopy hardlink",
        "check": "verify fsck scrub integrity crawl",
        "repair": "rebuild fix heal mend reconstruct",
        "sync": "rsync mirror synchronize backup",
        "ranges": "shards shard split partition",
        **_PROPERTIES,
    },
    "rdctl oio lifecycle": {
        "get": f"{_SHOW} show print",
        "set": "put apply create add",
    },
    "rdctl oio account": {
        "list": "dir",
        "show": f"{_SHOW} get stat",
        "containers": "buckets",
        "create": "add new make",
        "delete": _REMOVE,
        "refresh": "recount recompute touch update",
        "set-properties": "set setprops set-property update-properties",
        "del-properties": "unset unset-properties delete-properties remove-properties del-property",
    },
    "rdctl oio volume": {
        "show": f"{_SHOW} get stat info",
        "chunks": "list ls dir",
        "assignation": "assignments assignment assign rdir rdirs",
    },
    "rdctl oio volume admin": {
        "show": f"{_SHOW} get list ls status",
        "incident": "set mark date",
        "clear": "del delete erase wipe",
    },
    "rdctl oio events": {"stats": "stat statistics show list info status queue"},
    "rdctl oio directory": {"dump": "list ls show map export", "warmup": "warm warm-up ping"},
    "rdctl oio service": {
        "stats": "stat statistics metrics show info status",
        "ping": "check health",
    },
    "rdctl oio admin": {
        "status": "show election",
        "has": "where locate",
        "vacuum": "compact",
        "freeze": "readonly",
        **_PROPERTIES,
    },
    "rdctl oio local": {"list": "dir show services"},
    "rdctl context": {
        "list": "dir",
        "show": f"{_SHOW} get",
        "use": "select activate",
        "set": "create add new edit update modify",
        "remove": _REMOVE,
    },
    "rdctl sandbox": {
        "serve": "run server",
        "reboot": "restart",
        "damage": "break corrupt",
        "stop": "down kill",
        "start": "up",
        "path": "file where show info",
    },
}

# Verbs that destroy or disconnect something: suggested only for a word of that meaning, or for a
# slip of one letter.
DESTRUCTIVE = frozenset(
    "clear deregister del-properties delete destroy disable drop-cache dedup flush force kill"
    " leave drain purge remove reset stop truncate unexport unlink".split()
)
# The least likeness of a word and a verb: "rename" is not nearly "remove", "remov" is.
_LIKENESS = 0.67
_SLIP = 0.82


def verb_meant(noun: str, word: str, known: Collection[str]) -> str:
    """The verb of this noun that the word means, else the one spelled most like it, or nothing.
    raw-* verbs are never suggested: they are for manual repair only."""
    from difflib import SequenceMatcher

    for verb, words in MEANINGS.get(noun, {}).items():
        if word.lower() in words.split():
            return verb
    near = nearest(word, [verb for verb in known if not verb.startswith("raw-")], _LIKENESS)
    slip = abs(len(near) - len(word)) <= 1
    if near in DESTRUCTIVE and not (
        slip and SequenceMatcher(None, near, word.lower()).ratio() >= _SLIP
    ):
        return ""
    return near
