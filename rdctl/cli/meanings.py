"""Usual words for verbs that rdctl calls otherwise: suggested in an error, never executed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.core.units import nearest

if TYPE_CHECKING:
    from collections.abc import Collection

_LIST = "ls dir"
_SHOW = "info describe inspect view display"
_REMOVE = "rm delete del destroy erase drop"
_PROPERTIES = {
    "get-properties": "properties metadata getprops get-property",
    "set-properties": "set setprops set-property",
    "del-properties": "unset unset-properties delete-properties remove-properties del-property",
}

# For each noun, a verb (or a verb of a noun in it) and the words that mean it.
MEANINGS: dict[str, dict[str, str]] = {
    "rdctl": {
        "rapiddisk": "rd ramdisk ramdisks volume volumes disk disks cache caches nvmet",
        "oio": "openio sds object objects container containers content bucket buckets",
        "context": "contexts config configure ctx profile",
        "context use": "use switch",
        "doctor": "check diagnose health",
        "completion": "completions complete autocomplete",
        "sandbox": "demo simulate",
    },
    "rdctl rapiddisk": {
        "list": f"{_LIST} volumes",
        "show": f"{_SHOW} get",
        "status": "version health ping",
        "resources": "memory mem disks",
        "create": "add new make mk attach",
        "resize": "grow shrink expand extend",
        "flush": "erase wipe",
        "remove": "rm delete del destroy drop detach",
        "lock": "readonly freeze",
        "unlock": "writable thaw",
        "cache create": "map",
        "cache remove": "unmap",
        "cache stats": "stats stat statistics",
        "nvmet export": "export",
        "nvmet unexport": "unexport",
    },
    "rdctl rapiddisk cache": {
        "list": f"{_LIST} {_SHOW} get",
        "stats": "stat statistics status",
        "create": "add new make map attach",
        "remove": "rm delete del destroy drop unmap detach",
        "sync": "flush writeback clean",
    },
    "rdctl rapiddisk nvmet": {
        "list": f"{_LIST} {_SHOW} get status",
        "export": "add create new share",
        "unexport": f"{_REMOVE} remove unshare",
        "revalidate": "refresh rescan resize",
        "port": "ports",
    },
    "rdctl rapiddisk nvmet port": {
        "list": f"{_LIST} {_SHOW} get",
        "add": "create new make",
        "remove": "rm delete del destroy drop",
    },
    "rdctl rapiddisk daemon": {
        "status": f"{_SHOW} is-active",
        "start": "run up",
        "stop": "kill down",
    },
    "rdctl oio": {
        "content": "object objects file files contents",
        "container": "bucket buckets containers",
        "account": "accounts",
        "conscience": "cluster namespace services score scores",
        "content put": "put upload",
        "content get": "get download cat",
    },
    "rdctl oio conscience": {
        "info": "show describe inspect status namespace",
        "list": f"{_LIST} services score scores",
        "register": "add create new",
        "deregister": "rm remove delete del unregister",
    },
    "rdctl oio reference": {
        "create": "add new make",
        "show": "info describe inspect view get list ls services",
        "destroy": "rm delete del remove drop",
        "link": "attach",
        **_PROPERTIES,
    },
    "rdctl oio container": {
        "create": "add new make mk mb mkdir",
        "show": f"{_SHOW} get stat head",
        "list": f"{_LIST} contents objects",
        "destroy": "rm rb rmdir delete del remove drop",
        "flush": "empty",
        **_PROPERTIES,
    },
    "rdctl oio content": {
        "list": _LIST,
        "show": f"{_SHOW} stat head locate",
        "delete": "rm del remove destroy unlink drop",
        "put": "upload push send save add store",
        "get": "download pull fetch cat read",
        "copy": "cp link",
        **_PROPERTIES,
    },
    "rdctl oio account": {
        "list": _LIST,
        "show": f"{_SHOW} get stat",
        "containers": "buckets",
    },
    "rdctl oio service": {
        "stats": "stat statistics metrics show info status",
        "ping": "check health",
    },
    "rdctl oio admin": {
        "status": "show info election",
        "freeze": "readonly",
        **_PROPERTIES,
    },
    "rdctl oio local": {"list": f"{_LIST} show services"},
    "rdctl context": {
        "list": _LIST,
        "show": f"{_SHOW} get current",
        "use": "switch select activate",
        "set": "create add new edit update modify",
        "remove": "rm delete del drop",
    },
    "rdctl sandbox": {
        "serve": "start run server",
        "path": "file where show info",
    },
}

# Verbs that destroy or disconnect something: suggested only for a word of that meaning, or for a
# slip of one letter.
DESTRUCTIVE = frozenset(
    "deregister del-properties delete destroy disable drop-cache dedup flush force kill leave"
    " purge remove reset stop truncate unexport unlink".split()
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
    if near in DESTRUCTIVE and SequenceMatcher(None, near, word.lower()).ratio() < _SLIP:
        return ""
    return near
