"""The verb `check` is a plugin of monitoring systems: it has exit codes of its own. In it every
failure is `unknown`, also before the verb is known. Only Python 3.6 is required for this file."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, WARNING, CRITICAL, UNKNOWN = range(4)
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
MEANING = (
    "rdctl check has the exit codes of a plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. In it"
    " every failure is 3, including invalid arguments, interruptions, and output that cannot be"
    " written."
)
_VERB = "check"
# Global options with a value, which may precede the verb.
VALUED = (
    "--context --rapiddisk-url --oio-url --namespace --account --output --columns --sort-by --query"
    " --table-style --units --timeout --retries --parallel --request-id --color"
).split()
_SHORT = re.compile("-[^-]*?([co])(.*)", re.DOTALL)


def is_check(argv: "Sequence[str]") -> bool:
    """Whether these words run the verb."""
    words = iter(argv)
    for word in words:
        if word[:1] != "-" or word == "-":
            return word == _VERB
        short = _SHORT.fullmatch(word)
        if word in VALUED or (short and not short.group(2)):
            next(words, None)
    return False


def line(state: int, text: str, values: "Sequence[str]" = ()) -> str:
    """The one line of output; a `|` would begin the values."""
    words = " ".join(text.split()).replace("|", "/")
    performance = " | " + " ".join(values) if values else ""
    return f"RDCTL {STATES[state]} - {words}{performance}"
