"""The text of `rdctl help`: topics that apply to all commands. The man pages use the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.cli.blocks import Lines, Section, Terms
from rdctl.config.contexts import KEYS, SYSTEM_FILE
from rdctl.config.resolve import VARIABLES as SETTING_VARIABLES
from rdctl.core import plugin
from rdctl.core.errors import Code, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# --- exit-codes -------------------------------------------------------------------------------


def exit_codes() -> list[Section]:
    return [
        Section("Exit codes", [Terms(tuple((str(int(e)), e.meaning) for e in Exit))]),
        Section(
            "Error words",
            [
                "error.code in JSON is more specific than the exit code. The number is the exit"
                " code of the word.",
                Terms(tuple((c.word, f"{int(c.exit)}: {c.meaning}") for c in Code)),
            ],
        ),
        Section("The plugin for monitoring systems", [plugin.MEANING]),
        Section(
            "Several targets",
            [
                "A command with several targets continues after a failure, unless the server has"
                " become unreachable, and reports each target. If some targets succeed and some"
                " fail, the exit code is 8 (partial). If all fail, it is their common code, or 1."
                " Failed targets are listed in errors, each with its own error word.",
            ],
        ),
        Section(
            "Unknown outcomes",
            [
                "A change is sent only once. If its reply is lost, or reports a failure of a"
                " service behind the server, the outcome is unknown: the exit code is 10 (unknown),"
                " and the message shows a command to check the result. Exit codes 7 (timeout) and 6"
                " (unreachable) always mean that nothing was changed. In errors, fate is `not done`"
                " or `unknown`.",
                "After a server fails to reply to a change, nothing more is sent to it: the"
                " remaining targets are reported as skipped.",
            ],
        ),
    ]


# --- output -----------------------------------------------------------------------------------

_FORMATS = (
    ("table", "human-readable (default); sizes have units only on a terminal, else bytes"),
    ("json", "one document, also on errors"),
    ("ndjson", "one JSON object per line, without an envelope"),
    ("yaml", "like json, but buffered"),
    ("csv, tsv", "a header line, then one line per row; --no-headers omits the header"),
    ("name", "only names, one per line; with -0 raw bytes, terminated by NUL"),
)
_LISTING = (
    '{"schema": "rdctl.rapiddisk.volume/1", "items": [',
    '{"device": "rd0", "size": 33554432, "usage": 16384, "locked": false, "unwritten": 0,',
    ' "used_by": ["export nqn.2021-06.org.rapiddisk:sandbox-rd0"]}',
    '], "complete": true}',
)
_ITEM = ('{"schema": "rdctl.sandbox/1", "item": {"path": "/home/me/.../sandbox.db"}}',)
_CHANGE = (
    '{"schema": "rdctl.change/1", "status": "success", "results": [',
    '  {"action": "create", "target": "rd1", "changed": true, "verified": true,',
    '   "size": 67108864, "before": null, "after": {"size": 67108864}}], "errors": []}',
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
_SUMMARY_KEYS = (
    ("sent", "number of files or objects transferred, in either direction"),
    ("skipped", "number of those that needed no transfer; their results have changed: false"),
    ("deleted", "number of those deleted at the destination"),
    ("failed", "number of errors"),
    ("bytes", "size of what was sent"),
    ("seconds", "duration"),
)
_PLAN_KEYS = (
    ("summary", "what would be done, in sentences"),
    ("losses", "what would have to be confirmed, in sentences"),
    ("plan", "the steps as shell commands"),
    ("contexts", "with several contexts: the steps of each"),
    ("status, results, errors", "as in a change; missing for a command that only reads"),
)
_ERROR_KEYS = (
    ("code", "the error word (see rdctl help exit-codes)"),
    ("message", "what failed and why, human-readable"),
    ("hint", "what to do next, or null"),
    ("target", "the affected target, or null"),
    ("losses", "what would have to be confirmed, a list; only in consent-missing"),
    ("context", "the context of the failure; only with several contexts"),
    ("action", "the verb; only in errors of a change"),
    ("fate", "`not done` or `unknown`; only in errors of a change"),
    ("http_status", "HTTP status of the reply, if any"),
    ("remote_status", "status in the body of an oio-proxy's reply, if any"),
    ("line", "line number of the name on standard input, from 1; only for such names"),
    ("request_id", "request ID in the logs of OpenIO services; only for requests to them"),
    ("server", "the server that timed out; only for timeouts"),
)


def output() -> list[Section]:
    from rdctl.output.schemas import CHANGE, SCHEMAS

    head = [
        Section(
            "Formats",
            [
                Terms(_FORMATS),
                "Select a format with -o FORMAT or RDCTL_OUTPUT; --json is -o json. The format does"
                " not depend on the terminal. --columns selects keys and their order, --sort-by"
                " sorts, --query applies a JMESPath expression to the items (not to the envelope),"
                " in the order of --sort-by, and --table-style selects a table style of tabulate."
                " --columns and --query are mutually exclusive: an expression selects keys itself.",
                "--units selects how table, csv and tsv show sizes: human (64.0 MiB), bytes, or K,"
                " M and G (powers of 1024, with their unit); auto is human on a terminal and bytes"
                " elsewhere. json, ndjson and yaml always have bytes.",
            ],
        ),
        Section(
            "Streams",
            [
                "Data are written to standard output, everything else to standard error. With"
                " --json, -o ndjson or -o yaml an error is also written to standard output as a"
                " document. If rows have already been written, json instead ends its array with"
                ' "complete": false, "error": {...}, and ndjson simply ends: check the exit code.'
                " An empty listing has no items and exit code 0.",
                "Listings are streamed page by page in constant memory: table (in a pipe), json,"
                " ndjson, csv, tsv and name. yaml, --sort-by, --query and --table-style buffer the"
                " whole listing. If --limit ends a listing, complete is false and marker is the"
                " value for the next --marker. With --sort-by, --limit applies after sorting and"
                " no marker is given. complete is also false if unreadable rows were skipped; a"
                " warning reports their number.",
            ],
        ),
        Section(
            "Envelopes",
            [
                "A listing:",
                Lines(_LISTING),
                "One thing:",
                Lines(_ITEM),
                "A change; status is success, partial or error, and a result may have additional"
                " keys, such as size:",
                Lines(_CHANGE),
                "changed is false if the target was already in the requested state, and null if"
                " this is unknown. verified is true if the reply or a check confirms the result,"
                " else null.",
                "before and after are what is known of the change, in dry runs too: an object with"
                " the keys that the change concerns, named as in listings, or null if the target"
                " does not exist. If changed is false, they are equal. A change without them does"
                " not know them, or has nothing to compare.",
                "A transfer that can skip files (oio content put and get with --update, --checksum,"
                " --include or --exclude) also has a summary after errors, in ndjson as its last"
                " line. In a table it is the last line, and what was skipped is not listed:",
                Terms(_SUMMARY_KEYS),
                "An error:",
                Lines(_ERROR),
                "A dry run (--dry-run) is rdctl.plan/1: summary says what would be done, losses"
                " what would have to be confirmed, plan is the list of steps as shell commands;"
                " status, results and errors are the same as in a change.",
            ],
        ),
        Section(
            "Names on standard input",
            [
                "Commands that accept several names read them from standard input if - is given:"
                " one per line, or terminated by NUL. With --ndjson each line is an object with"
                " name and optional properties, such as the -o ndjson output of a listing:",
                Lines(_NAMES),
                "Where - means data, as in oio content put, use --files-from - to read file names.",
                "An object with a context, as in a listing of several contexts, is processed only"
                " in that context. It is an error if the command does not run in it.",
                "--parallel N sets the number of parallel operations. Results are reported in the"
                " order of the names, one per name, with line numbers in json, ndjson, csv, tsv and"
                " messages. --failed FILE saves the failed names as they were given, as input for"
                " another run; for several contexts use --ndjson, so that the context is saved as"
                " well. Ctrl-C finishes the operations in progress and stops; the remaining names"
                " are saved as failed. Press Ctrl-C again to stop immediately: the outcome of the"
                " operations in progress is unknown, and they are saved as failed as well.",
            ],
        ),
        Section(
            "Watching",
            [
                "--watch [SECONDS] repeats a command that lists or shows something every 2 seconds"
                " or every SECONDS (at least 0.1). The word after --watch is its value only if it"
                " is a number; in --watch=SECONDS it always is.",
                Lines(_WATCHES),
                "On a terminal the table is updated in place, and changes since the previous sample"
                " are marked. Numbers show their increase (+12), and NOW is the hit rate since the"
                " previous sample. Other changes and new rows are shown in reverse video, or with"
                " an asterisk if colors are off. Removed rows are listed below the table. Press"
                " Ctrl-C to stop: the last table remains, and the exit code is 130, without a"
                " message.",
                "If standard output is not a terminal, and with -o ndjson, every row is a line that"
                " begins with the time (UTC) of its sample. A sample without rows is a line with"
                " only the time.",
                Lines(_SAMPLES),
                "Samples start at fixed intervals; if one takes longer, the missed ones are"
                " skipped. --timeout, --limit, --columns and --sort-by apply to each sample. After"
                " a successful sample, temporary failures (exit codes 6, 7 and 9) are reported,"
                " above the table or as a line with error, and the watch continues. Any other error"
                " ends it with its exit code, such as 3 if the target is removed. Other formats,"
                " --query and --table-style are not supported, and neither are the NVMe targets of"
                " a rapiddiskd (exit code 11).",
            ],
        ),
        Section(
            "Plans and traces",
            [
                "--dry-run changes nothing and says what would be done, and what would have to be"
                " confirmed. --trace prints every step of the command as a shell command to"
                " standard error, also read requests. With --dry-run the steps that change"
                " something are only printed; values that are known only after a step are shown as"
                " rd? or <chunk 0>.",
                "Each line can be pasted into a shell: curl for requests; echo, mkdir and ln for"
                " kernel files; dmsetup and blockdev for ioctls, although rdctl does not run them."
                " An ioctl without an equivalent command is only named. Lines that begin with # are"
                " comments: kernel queries, and the result of each request (status, bytes sent and"
                " received, milliseconds). Tokens and passwords are shown as ***.",
            ],
        ),
        Section(
            "Nulls and names",
            [
                "All modes return the same keys in the same order. Values that a server does not"
                " report are null, never 0 or an empty string; see each key below. A value that"
                " cannot be parsed is also null and causes a warning. Sizes are in bytes.",
                "A name that is not valid UTF-8 is escaped, and name_hex is added. Without -0,"
                " -o name does not print names with a line break; they are reported on standard"
                " error, with exit code 9.",
                "The number at the end of a schema name increases only if a key is removed or"
                " changes its meaning; new keys may be added at any time.",
            ],
        ),
        Section("rdctl.plan/1", [Terms(_PLAN_KEYS)]),
        Section("rdctl.error/1", [Terms(_ERROR_KEYS)]),
    ]
    shown_by = _shown_by()
    shown_by[CHANGE.name] = ["The rows of a change, in formats with rows."]
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
        if isinstance(node.command, Command):
            for name in filter(None, (node.command.shows, node.command.shows_bare)):
                commands.setdefault(name, []).append(node.path)
    return commands


# --- environment ------------------------------------------------------------------------------

# The variables of settings are in rdctl.config.
_OTHER_VARIABLES = (
    ("RDCTL_CONTEXT", "context to use, as -c"),
    ("RDCTL_OUTPUT", "output format, as -o"),
    ("RDCTL_COLOR", "auto, always or never, as --color"),
    ("RDCTL_RETRIES", "retries for read requests, as --retries (default: 2)"),
    ("RDCTL_CONFIG", "configuration file (default: in XDG_CONFIG_HOME)"),
    ("RDCTL_SANDBOX", "sandbox file (default: in XDG_STATE_HOME)"),
    ("RDCTL_HISTORY", "history file (default: /var/log/rdctl as root, else in XDG_STATE_HOME)"),
    ("RDCTL_DEBUG", "if set, internal errors show a traceback"),
    ("XDG_CONFIG_HOME", "directory of rdctl/config.toml, fish completions (default: ~/.config)"),
    (
        "XDG_STATE_HOME",
        "directory of rdctl/sandbox.db and rdctl/history.ndjson (default: ~/.local/state)",
    ),
    ("SUDO_USER", "set by sudo; kept in the history"),
    ("SSH_CONNECTION", "set by sshd; its address is kept in the history of a machine over SSH"),
    (
        "TRACEPARENT",
        "W3C trace context; its trace ID is the request ID of OpenIO requests, unless --request-id"
        " is given (ignored if invalid)",
    ),
    ("XDG_CACHE_HOME", "directory of the completion cache (default: ~/.cache)"),
    ("XDG_DATA_HOME", "target of completion bash --install (default: ~/.local/share)"),
    ("BASH_COMPLETION_USER_DIR", "same as XDG_DATA_HOME, which it overrides"),
    ("ZDOTDIR", "target of completion zsh --install (default: home directory)"),
    ("HOME", "home directory, also written as ~"),
    ("PATH", "where ssh is searched for, for contexts over SSH"),
    ("NO_COLOR", "if set, disables colors"),
    (
        "PYTHONPATH",
        "directories in which Python searches first; doctor names it if libraries there are wrong",
    ),
    ("PAGER", "program for `rdctl help --pager` (default: less)"),
    ("TERM", "if dumb, disables colors"),
    ("COLUMNS", "width of the terminal"),
)


def _setting_variables() -> Iterator[tuple[str, str]]:
    for key, (first, *others) in SETTING_VARIABLES.items():
        yield first, KEYS[key][1]
        yield from ((other, f"same as {first}, which overrides it") for other in others)


def environment() -> list[Section]:
    return [
        Section(
            "Variables of settings",
            [
                Terms(tuple(_setting_variables())),
                "These are ignored if a context is selected with -c or RDCTL_CONTEXT, except"
                " RDCTL_TIMEOUT, which applies if the context does not set a timeout. Use"
                " `rdctl context show` to see the source of each setting.",
            ],
        ),
        Section(
            "Other variables",
            [Terms(_OTHER_VARIABLES), "An empty variable is treated as not set."],
        ),
        Section(
            "Options without a variable",
            [
                "--yes, --force and --dry-run can only be given on the command line.",
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
                "A context is a named set of connection settings: the address of a rapiddiskd, of"
                " an oio-proxy, and their settings. `rdctl context set` changes contexts and keeps"
                " comments. The file can also be edited manually. An unknown key is an error,"
                " reported with file and line.",
                'The context "sandbox" is built in and cannot be changed.',
            ],
        ),
        Section("Files", [files()]),
        Section("Example", [Lines(_EXAMPLE)]),
        Section(
            "Required history",
            [
                f'audit = "required" in /{SYSTEM_FILE}, and only there, makes the history a'
                " condition: a command that cannot write its intent to it fails before its first"
                " change. RDCTL_HISTORY is then refused. It does not apply to the sandbox.",
            ],
        ),
        Section("Keys of a context", [Terms(tuple((key, doc) for key, (_, doc) in KEYS.items()))]),
        Section(
            "Precedence of settings",
            [
                "Each setting is taken from the first of these sources that defines it:",
                Terms(
                    (
                        ("1", "the option on the command line"),
                        (
                            "2",
                            "the context selected with -c or RDCTL_CONTEXT; sources 3, 4 and 5 are"
                            " then ignored, except RDCTL_TIMEOUT",
                        ),
                        ("3", "the variables RDCTL_..."),
                        ("4", "the variables OIO_NS, OIO_ACCOUNT and OIO_PROXYD_URL"),
                        ("5", "the current context (`current` in the file)"),
                        ("6", "the default: RapidDisk on this machine, no oio-proxy"),
                    )
                ),
                'If "sandbox" is the current context, sources 3 and 4 are ignored as well. --local,'
                " or an address on the command line, overrides only its own system; the other one"
                " remains the sandbox. `rdctl context show` shows every setting and its source.",
            ],
        ),
        Section(
            "Several contexts",
            [
                "-c accepts several names (-c lab,rack1-a) or patterns (-c 'rack1-*'), and can be"
                " repeated. The command runs in all these contexts in parallel. Every row begins"
                " with its context, in the order of the names. A single item is shown as a row, and"
                " -o name separates context and name by a tab. A failure in one context does not"
                " stop the others; the exit code is 8, and every error names its context.",
                "A change in several contexts always requires confirmation, once for all of them."
                " The prompt lists what will be lost in each, and the contexts that have already"
                " failed. --yes is not sufficient for a protected context that is matched by a"
                " pattern. Patterns do not match the sandbox.",
            ],
        ),
        Section(
            "Tokens and certificates",
            [
                "token_file, cert and key are used only for addresses from the same source: those"
                " of a context for the addresses of that context, those of variables for addresses"
                " in variables. They are never used for an address on the command line. A path that"
                " begins with ~/ is relative to the home directory.",
            ],
        ),
        Section(
            "Protected contexts",
            [
                "With protected = true, --yes is sufficient only if the command line names the"
                " target: with -c, or with --local or an address for the system to change. This"
                " protects a context that is current, or selected by a variable, from the --yes of"
                " a script.",
            ],
        ),
    ]


def files() -> Terms:
    return Terms(
        (
            ("~/.config/rdctl/config.toml", "contexts of the user, mode 0600"),
            (f"/{SYSTEM_FILE}", "system-wide contexts; those of the user take precedence"),
            ("/etc/rdctl/rapiddisk.toml", "state of this machine, for diff, apply and boot enable"),
            ("/etc/rdctl/rapiddisk.d/*.toml", "further parts of it"),
            ("~/.local/state/rdctl/sandbox.db", "state of the sandbox"),
            ("~/.local/state/rdctl/sandbox.db-history.ndjson", "history of the sandbox"),
            ("/var/log/rdctl/history.ndjson", "history of changes by root"),
            ("~/.local/state/rdctl/history.ndjson", "history of changes by another user"),
        )
    )


# --- concepts ---------------------------------------------------------------------------------


def concepts() -> list[Section]:
    """docs/concepts.md, of which `make generate` keeps a copy in this package."""
    from importlib.resources import files

    from rdctl.cli.markdown import sections

    return sections((files("rdctl") / "documents" / "concepts.md").read_text("utf-8"), "docs")


# --- the topics -------------------------------------------------------------------------------

TOPICS: dict[str, tuple[str, Callable[[], list[Section]]]] = {
    "concepts": ("What volumes, caches, exports, containers and elections are.", concepts),
    "exit-codes": ("Exit codes and error words.", exit_codes),
    "output": ("Output formats, envelopes, and the keys of every schema.", output),
    "environment": ("Environment variables.", environment),
    "config": ("The configuration file, and the precedence of settings.", config),
}
