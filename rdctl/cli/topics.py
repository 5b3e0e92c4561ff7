"""The text of `rdctl help`: what no single command explains. The man pages are made of it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rdctl.config.contexts import KEYS, SYSTEM_FILE
from rdctl.config.resolve import VARIABLES as SETTING_VARIABLES
from rdctl.core.errors import Code, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Lines(NamedTuple):
    """What is shown exactly as it is."""

    lines: tuple[str, ...]


class Terms(NamedTuple):
    """Words, each with its explanation."""

    terms: tuple[tuple[str, str], ...]


class Section(NamedTuple):
    """Blocks below a heading; a bare string is a paragraph."""

    heading: str
    blocks: Sequence[str | Terms | Lines]


# --- exit-codes -------------------------------------------------------------------------------


def exit_codes() -> list[Section]:
    return [
        Section("Exit codes", [Terms(tuple((str(int(e)), e.meaning) for e in Exit))]),
        Section(
            "Error words",
            [
                "Finer than the exit code, as error.code in JSON; the number is the exit code of"
                " each.",
                Terms(tuple((c.word, f"{int(c.exit)}: {c.meaning}") for c in Code)),
            ],
        ),
        Section(
            "Several targets",
            [
                "A command with several targets goes on after one that failed, unless the server is"
                " away by then, and reports each. Some done and some not is 8 (partial). None done"
                " is the code that all have in common, else 1. The targets that are not done are in"
                " errors, each with its own word.",
            ],
        ),
        Section(
            "When the fate is not known",
            [
                "A change is sent once, never again. When its reply is lost, or tells of a service"
                " behind the server that was away or failed, it may have been done or not: that is"
                " 10 (unknown), and the message names the command that shows what became of it. So"
                " 7 (timeout) and 6 (unreachable) always mean that nothing was changed. In errors,"
                " fate says `not done` or `unknown`.",
                "To a server that gave no answer nothing more is sent: of several names the rest is"
                " reported as not tried.",
            ],
        ),
    ]


# --- output -----------------------------------------------------------------------------------

_FORMATS = (
    ("table", "for people; the default. Sizes are for people only on a terminal, else bytes"),
    ("json", "one document, also when something fails"),
    ("ndjson", "one JSON object a line, without an envelope"),
    ("yaml", "as json, collected first"),
    ("csv, tsv", "a line of keys, then a line each; --no-headers leaves out the keys"),
    ("name", "only names, one a line; with -0 as raw bytes, each ended by NUL"),
)
_LISTING = (
    '{"schema": "rdctl.rapiddisk.volume/1", "items": [',
    '{"device": "rd0", "size": 33554432, "usage": 16384, "locked": false, "unwritten": null}',
    '], "complete": true}',
)
_ITEM = ('{"schema": "rdctl.sandbox/1", "item": {"path": "/home/me/.../sandbox.db"}}',)
_CHANGE = (
    '{"schema": "rdctl.change/1", "status": "success", "results": [',
    '  {"action": "create", "target": "rd1", "changed": true, "verified": true,',
    '   "size": 67108864}], "errors": []}',
)
_ERROR = (
    '{"schema": "rdctl.error/1", "error": {"code": "not-found", "message": "...",',
    '  "hint": "...", "target": "rd7"}}',
)
_WATCHES = (
    "rdctl rapiddisk cache stats --watch",
    "rdctl rapiddisk list --watch 0.5 -o ndjson",
)
_SAMPLES = (
    '{"time": "2026-11-22T01:02:03.456Z", "device": "rd0", "size": 33554432, ...}',
    '{"time": "2026-11-22T01:02:05.456Z", "error": {"code": "unreachable", ...}}',
)
_NAMES = (
    '{"name": "photos", "properties": {"team": "red"}}',
    '{"name": "films"}',
)
_ERROR_KEYS = (
    ("code", "an error word: rdctl help exit-codes"),
    ("message", "what failed and why, for people"),
    ("hint", "what to do next; null: nothing is known"),
    ("target", "what it is about; null: nothing in particular"),
    ("context", "where it failed; only when there are several"),
    ("action", "the verb; only in the errors of a change"),
    ("fate", "`not done` or `unknown`; only in the errors of a change"),
    ("http_status", "of the reply; only when there was one"),
    ("remote_status", "the number in the body of an oio-proxy's reply; only when there was one"),
    ("line", "of the name on standard input, from 1; only when it came from there"),
    ("request_id", "the id that OpenIO's services log; only of requests to them"),
    ("server", "the server that was late; only of timeouts"),
)


def output() -> list[Section]:
    from rdctl.output.schemas import CHANGE, SCHEMAS

    head = [
        Section(
            "Formats",
            [
                Terms(_FORMATS),
                "-o FORMAT or RDCTL_OUTPUT chooses; --json is -o json. The format never changes"
                " with the terminal. --columns chooses keys and their order, --sort-by sorts,"
                " --query applies a JMESPath expression to the items (not to the envelope),"
                " --table-style draws a table as tabulate does.",
            ],
        ),
        Section(
            "Streams",
            [
                "Data go to standard output, everything else to standard error. With --json, -o"
                " ndjson or -o yaml an error is also the one document on standard output, unless"
                " rows stand there already: then json closes its array with"
                ' "complete": false, "error": {...}, and the line formats just end; the exit code'
                " says the rest. An empty listing has no items and exit code 0.",
                "A listing is written as its pages come, in the same memory however long it is:"
                " table in a pipe, json, ndjson, csv, tsv and name. yaml, --sort-by, --query and"
                " --table-style need all of it first. Where --limit ends it, complete is false and"
                " marker is what --marker goes on with; with --sort-by it takes the first of all,"
                " without a marker. It is false too where a row could not be read and was"
                " left out, which a warning counts.",
            ],
        ),
        Section(
            "Envelopes",
            [
                "A listing:",
                Lines(_LISTING),
                "One thing:",
                Lines(_ITEM),
                "A change; status is success, partial or error, and a result may have further"
                " keys, such as size:",
                Lines(_CHANGE),
                "changed is false where it was so already, and null where nobody can tell. verified"
                " is true where the reply or a look proves it, else null.",
                "An error:",
                Lines(_ERROR),
                "A dry run (--dry-run) is rdctl.plan/1: plan is a list of lines, and status,"
                " results and errors are those of a change.",
            ],
        ),
        Section(
            "Names on standard input",
            [
                "Where several names may stand, - takes them from standard input: one a line, or"
                " each ended by NUL, or with --ndjson as objects, one a line, whose name and"
                " properties count (a listing's own -o ndjson will do):",
                Lines(_NAMES),
                "Where - is data, as in oio content put, --files-from - takes a list of files.",
                "An object that says its context, as a listing of several contexts does, is taken"
                " in that one alone; a run that is not for it is refused.",
                "--parallel N works on so many at a time; the results come in the order of the"
                " names, one a name, each with its line in json, ndjson, csv, tsv and messages."
                " --failed FILE writes the names that failed, as they were given: input for the"
                " next run; in several contexts --ndjson makes them say where. Ctrl-C ends it when"
                " what is under way is finished; the names that it did not come to are among the"
                " failed. Ctrl-C once more waits no longer: what is under way by then has an"
                " unknown fate, and is among the failed too.",
            ],
        ),
        Section(
            "Watching",
            [
                "With --watch [SECONDS] a command that lists or shows, and changes nothing, does so"
                " again and again: every 2 seconds, or so many, from 0.1. A word behind --watch is"
                " its value only if it is a number; --watch=SECONDS always is.",
                Lines(_WATCHES),
                "On a terminal the table stays in its place, and what changed since the sample"
                " before is marked. Beside a number stands what was added (+12), and NOW is the hit"
                " rate of that time alone. What else changed, and what is new, is reversed, or has"
                " a star where there are no colors; what is gone is named below."
                " Ctrl-C ends it: the last table stays, and the exit code is 130, without a"
                " message.",
                "Where standard output is no terminal, and with -o ndjson, every row is a line that"
                " begins with the time of its sample, in UTC, which all its rows have in common. A"
                " sample without rows is a line with its time alone.",
                Lines(_SAMPLES),
                "Samples begin every SECONDS on the clock; one that takes longer leaves out those"
                " that it missed. --timeout, --limit, --columns and --sort-by hold for each. After"
                " one good sample, a failure that may pass (exit codes 6, 7 and 9) is told, above"
                " the table or as a line with error, and the watch goes on. Any other error ends"
                " it with its own exit code: 3 when what is watched is removed. Other formats,"
                " --query and --table-style cannot be watched, and no rapiddiskd is asked again"
                " and again for its NVMe targets (11).",
            ],
        ),
        Section(
            "Plans and traces",
            [
                "--dry-run reads, changes nothing, and shows a line for every step that the command"
                " would take; what only a step can tell stands there as rd? or <chunk 0>. --trace"
                " shows the same lines on standard error while the steps are taken, and those of"
                " all that is asked.",
                "A line can be pasted into a shell: curl for a request; echo, mkdir, ln for files"
                " of the kernel; dmsetup and blockdev for what rdctl does itself, without them. An"
                " ioctl that no program offers is only named. Lines that begin with # tell what was"
                " asked of the kernel, and what came of each request: its status, bytes sent and"
                " received, milliseconds. Tokens and passwords are shown as ***.",
            ],
        ),
        Section(
            "Nulls and names",
            [
                "Every mode gives the same keys in the same order. What a server does not report is"
                " null, never 0 or an empty text; below, each key says when. A value that cannot"
                " be read is null too, and a warning says so. Sizes are whole bytes.",
                "A name that is not UTF-8 is escaped, and name_hex stands beside it. -o name"
                " without -0 does not print a name with a line end in it: it is named on standard"
                " error, with exit code 9.",
                "The number at the end of a schema's name rises only when a key goes or changes"
                " its meaning; new keys may come at any time.",
            ],
        ),
        Section("rdctl.error/1", [Terms(_ERROR_KEYS)]),
    ]
    shown_by = _shown_by()
    shown_by[CHANGE.name] = ["The rows of a change, in the formats that have rows."]
    tail = [
        Section(
            schema.name,
            [
                ", ".join(shown_by.get(schema.name, ())),
                Terms(tuple((column.key, column.doc) for column in schema.columns)),
            ],
        )
        for schema in (CHANGE, *SCHEMAS.values())
    ]
    return [*head, *tail]


def _shown_by() -> dict[str, list[str]]:
    """The commands that show each schema."""
    from rdctl.cli.tree import Command, root
    from rdctl.completion.nodes import walk

    commands: dict[str, list[str]] = {}
    for node in walk(root):
        if isinstance(node.command, Command) and node.command.shows:
            commands.setdefault(node.command.shows, []).append(node.path)
    return commands


# --- environment ------------------------------------------------------------------------------

# Beside the variables of settings, which config.py holds.
_OTHER_VARIABLES = (
    ("RDCTL_CONTEXT", "the context to work in, as -c"),
    ("RDCTL_OUTPUT", "the format, as -o"),
    ("RDCTL_COLOR", "auto, always or never, as --color"),
    ("RDCTL_RETRIES", "further attempts of a read, as --retries; 2 when nothing is said"),
    ("RDCTL_CONFIG", "the configuration file, instead of the one below XDG_CONFIG_HOME"),
    ("RDCTL_SANDBOX", "the file of the sandbox, instead of the one below XDG_STATE_HOME"),
    ("RDCTL_DEBUG", "when not empty, a fault in rdctl itself shows its traceback"),
    ("XDG_CONFIG_HOME", "where rdctl/config.toml lies; ~/.config when not set"),
    ("XDG_STATE_HOME", "where rdctl/sandbox.db lies; ~/.local/state when not set"),
    ("XDG_CACHE_HOME", "where completion keeps its answers for seconds; ~/.cache when not set"),
    ("XDG_DATA_HOME", "where completion bash --install writes; ~/.local/share when not set"),
    ("BASH_COMPLETION_USER_DIR", "the same, as bash-completion has it; it comes first"),
    ("ZDOTDIR", "where completion zsh --install writes; the home directory when not set"),
    ("HOME", "the home directory, which ~ stands for"),
    ("NO_COLOR", "when not empty, no colors"),
    ("TERM", "dumb: no colors"),
    ("COLUMNS", "the width of the terminal"),
)


def _setting_variables() -> Iterator[tuple[str, str]]:
    for key, (first, *others) in SETTING_VARIABLES.items():
        yield first, KEYS[key][1]
        yield from ((other, f"the same, when {first} is not set") for other in others)


def environment() -> list[Section]:
    return [
        Section(
            "Variables of settings",
            [
                Terms(tuple(_setting_variables())),
                "These hold only while no context is named: one that is named by -c or"
                " RDCTL_CONTEXT is taken whole. RDCTL_TIMEOUT alone fills in where the context"
                " says nothing. `rdctl context show` tells where each setting comes from.",
            ],
        ),
        Section(
            "Other variables",
            [Terms(_OTHER_VARIABLES), "A variable that is empty counts as not set."],
        ),
        Section(
            "What has no variable",
            [
                "--yes, --force and --dry-run have no variable: what may be lost is said on the"
                " command line.",
            ],
        ),
    ]


# --- config -----------------------------------------------------------------------------------

_EXAMPLE = (
    'current = "lab"',
    "",
    "[contexts.lab]",
    'rapiddisk = "http://127.0.0.1:9118"',
    'oio = "http://127.0.0.1:6002"',
    'namespace = "OPENIO"',
    'account = "myaccount"',
    "timeout = 60",
    "",
    "[contexts.production]",
    'rapiddisk = "https://gateway.example.org/rapiddisk"',
    'token_file = "~/.config/rdctl/token"',
    'ca = "/etc/ssl/my-ca.pem"',
    "protected = true",
)


def config() -> list[Section]:
    return [
        Section(
            "Contexts",
            [
                "A context is a name for the systems behind it: the address of a rapiddiskd, of an"
                " oio-proxy, and what goes with them. `rdctl context set` writes them and keeps"
                " comments; the file may be edited by hand as well. An unknown key is an error"
                " that names file and line.",
                "The context sandbox is always there and cannot be set.",
            ],
        ),
        Section("Files", [files()]),
        Section("Example", [Lines(_EXAMPLE)]),
        Section("Keys of a context", [Terms(tuple((key, doc) for key, (_, doc) in KEYS.items()))]),
        Section(
            "Which setting holds",
            [
                "Each setting is taken from the first of these that has it:",
                Terms(
                    (
                        ("1", "the option on the command line"),
                        (
                            "2",
                            "the context named by -c or RDCTL_CONTEXT, taken whole: then 3, 4"
                            " and 5 are not looked at, but for RDCTL_TIMEOUT",
                        ),
                        ("3", "the variables RDCTL_..."),
                        ("4", "the variables OIO_NS, OIO_ACCOUNT and OIO_PROXYD_URL"),
                        ("5", "the context that `current` names"),
                        ("6", "the default: RapidDisk on this machine, no oio-proxy"),
                    )
                ),
                "While `current` names sandbox, that is taken whole as well. --local, or an address"
                " on the command line, leads elsewhere for its own system only: the other one stays"
                " in the sandbox. `rdctl context show` prints every setting with its origin.",
            ],
        ),
        Section(
            "Several contexts",
            [
                "-c takes several names (-c lab,rack1-a) or patterns (-c 'rack1-*'), and may be"
                " repeated. The command then runs in all of them at a time. Every row begins with"
                " its context, in the order of the names; an item becomes a row as well, and with"
                " -o name a tab stands between context and name. What fails in one context does"
                " not stop the others: exit code 8, and every error says where.",
                "A change in several contexts always asks, once for all, naming each with what is"
                " lost there, and where it failed by then. A pattern is no way to name a protected"
                " context: --yes then does not suffice. The sandbox is meant only by its own name.",
            ],
        ),
        Section(
            "Tokens and certificates",
            [
                "token_file, cert and key go only to an endpoint from the same source: those of a"
                " context to the addresses of that context, those of variables to the addresses in"
                " variables. An address on the command line gets none. A path that begins with ~/"
                " is below the home directory.",
            ],
        ),
        Section(
            "Protected contexts",
            [
                "With protected = true, --yes suffices only when the command line itself says"
                " where it goes: with -c, or with --local or an address for the system that is"
                " changed. So a context that happens to be"
                " current, or that a variable names, loses nothing by a script's --yes.",
            ],
        ),
    ]


def files() -> Terms:
    return Terms(
        (
            ("~/.config/rdctl/config.toml", "the contexts of this user, mode 0600"),
            (f"/{SYSTEM_FILE}", "those of the whole machine; the user's own come first"),
            ("~/.local/state/rdctl/sandbox.db", "the state of the sandbox"),
        )
    )


# --- the topics -------------------------------------------------------------------------------

TOPICS: dict[str, tuple[str, Callable[[], list[Section]]]] = {
    "exit-codes": ("What each exit code and each error word means.", exit_codes),
    "output": ("Formats, envelopes, and every key of every schema.", output),
    "environment": ("The variables that rdctl looks at.", environment),
    "config": ("The configuration file, and which setting holds.", config),
}
