"""Man pages and completions, from the command tree, and the units of systemd:
`python -m tests.generate [--check]`.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from rdctl import __version__
from rdctl.cli import topics
from rdctl.cli.blocks import Lines, Section, Terms
from rdctl.cli.markdown import sections
from rdctl.cli.tree import Command, root
from rdctl.completion.bash import bash_script
from rdctl.completion.fish import fish_script
from rdctl.completion.nodes import Node, choices, label, parted
from rdctl.completion.zsh import zsh_script
from rdctl.rapiddisk.boot.units import units

ROOT = Path(__file__).resolve().parent.parent
# When the wording of the manual was last looked through; a constant, so that the pages are the
# same on any day.
DATE = "2026-11-21"
UNITS = "packaging/systemd"
# Documents that the program shows. In its package they are also in a wheel and in a zip file.
DOCUMENTS = "rdctl/documents"
DIRECTORIES = ("completions", "man", UNITS, DOCUMENTS)

Options = Sequence[click.Option]


def files() -> dict[str, str]:
    """Path below the top of the tree, and content."""
    anywhere, nodes = parted(root)
    first, *rest = nodes
    commands = [node for node in rest if node.path.count(" ") == 1]
    nouns = [node for node in commands if node.children]
    made = {
        "completions/rdctl.bash": bash_script(root),
        "completions/rdctl.fish": fish_script(root),
        "completions/_rdctl": zsh_script(root),
        "man/rdctl.1": _main_page(first, anywhere, nodes),
        "man/rdctl-config.5": _config_page(),
        "man/rdctl-concepts.7": _concepts_page(),
        f"{DOCUMENTS}/concepts.md": _concepts(),
    }
    for noun in nouns:
        verbs = {
            node: own
            for node, own in nodes.items()
            if node.path.startswith(f"{noun.path} ") and not node.children
        }
        made[f"man/{_page_name(noun)}.1"] = _noun_page(noun, verbs)
    return made | {f"{UNITS}/{name}": text for name, text in units().items()}


def faults(top: Path) -> list[str]:
    """What in a tree is not as it would be made now."""
    made = files()
    there = {
        f"{directory}/{path.name}"
        for directory in DIRECTORIES
        for path in (top / directory).glob("*")
    }
    found = [f"{name}: nothing generates it" for name in sorted(there - made.keys())]
    for name, text in made.items():
        if name not in there:
            found.append(f"{name}: missing")
        elif (top / name).read_text("utf-8") != text:
            found.append(f"{name}: not up to date")
    return found


def write(top: Path) -> None:
    """Make a tree's files, and remove those that nothing makes any more."""
    made = files()
    for directory in DIRECTORIES:
        (top / directory).mkdir(parents=True, exist_ok=True)
        for path in (top / directory).glob("*"):
            if f"{directory}/{path.name}" not in made:
                path.unlink()
    for name, text in made.items():
        (top / name).write_text(text, "utf-8")


# --- pages ------------------------------------------------------------------------------------


def _main_page(first: Node, anywhere: Options, nodes: Mapping[Node, Options]) -> str:
    commands = [node for node in nodes if node.path.count(" ") == 1]
    nouns = [_page_name(node) for node in commands if node.children]
    verbs = [_command(node, nodes[node]) for node in commands if not node.children]
    return page(
        "rdctl",
        1,
        first.summary,
        _section("Synopsis", [_usage("rdctl [OPTION]... NOUN... VERB [ARGUMENT]...")]),
        _section("Description", [*_paragraphs(first), *map(_paragraph, DESCRIPTION)]),
        _section("Commands", [_term(_usage(node.path), node.summary) for node in commands]),
        *verbs,
        _section("Options", map(_option, [*anywhere, *nodes[first]])),
        _section("Examples", [_lines(EXAMPLES)]),
        _exit_status(),
        *map(topic, topics.exit_codes()[1:]),
        _section("Environment", [_block(b) for s in topics.environment() for b in s.blocks]),
        _section("Files", [_block(topics.files())]),
        _see_also([(name, 1) for name in nouns] + [("rdctl-config", 5), ("rdctl-concepts", 7)]),
    )


# What only the manual says.
DESCRIPTION = (
    "RapidDisk is managed on this machine through its kernel (the default), or on another machine"
    " through its rapiddiskd. OpenIO SDS is managed through an oio-proxy. A context is a named set"
    " of connection settings; -c selects one context or several.",
    "Data are written to standard output, everything else to standard error. With --json the output"
    " is one document, also on errors; scripts check the exit status. A change is sent only once,"
    " and its result is verified where that is possible.",
)

# Each is an example of its command as well, and so is run by a test.
EXAMPLES = (
    "rdctl -c sandbox rapiddisk create 64M",
    "rdctl -c sandbox rapiddisk list",
    "rdctl -c sandbox rapiddisk list --json",
    "rdctl -c sandbox rapiddisk cache create rd1 sdb",
    "rdctl -c sandbox rapiddisk cache stats",
    "rdctl context set lab rapiddisk=http://127.0.0.1:9118 protected=true",
    "rdctl context use lab",
)


def _noun_page(noun: Node, verbs: Mapping[Node, Options]) -> str:
    more = "The options that every command understands, the variables and the files are in"
    return page(
        _page_name(noun),
        1,
        noun.summary,
        _section("Synopsis", [".br\n".join(_command_usage(*entry) for entry in verbs.items())]),
        _section("Description", [*_paragraphs(noun), f"{more}\n.BR rdctl (1).\n"]),
        ".SH COMMANDS\n",
        *(_command(*entry) for entry in verbs.items()),
        _exit_status(),
        _section("Environment", [*_variables(noun), "All others are in\n.BR rdctl (1).\n"]),
        _section("Files", [_block(topics.files()), *map(_block, FILES.get(noun.path, ()))]),
        _see_also([("rdctl", 1), ("rdctl-config", 5), ("rdctl-concepts", 7)]),
    )


# The variables that matter to a noun, and the files of its own.
VARIABLES = {
    "rdctl rapiddisk": ("RDCTL_CONTEXT", "RDCTL_RAPIDDISK_URL", "RDCTL_TIMEOUT", "RDCTL_OUTPUT"),
    "rdctl oio": (
        *("RDCTL_CONTEXT", "RDCTL_OIO_URL", "OIO_PROXYD_URL", "RDCTL_NAMESPACE", "OIO_NS"),
        *("RDCTL_ACCOUNT", "OIO_ACCOUNT", "RDCTL_DIALECT", "RDCTL_TIMEOUT", "RDCTL_OUTPUT"),
    ),
    "rdctl context": ("RDCTL_CONTEXT", "RDCTL_CONFIG", "XDG_CONFIG_HOME"),
    "rdctl sandbox": ("RDCTL_SANDBOX", "XDG_STATE_HOME"),
}
FILES = {
    "rdctl rapiddisk": (
        Terms(
            (
                ("/sys/kernel/rapiddisk/mgmt", "the kernel's volumes, with --local"),
                ("/sys/kernel/config/nvmet", "its NVMe-oF targets, with --local"),
                ("/run/rdctl.lock", "lock file: one change at a time with --local"),
                ("/etc/rdctl/rapiddisk.toml", "the state file"),
                (
                    "/etc/systemd/system/rdctl-caches.service",
                    "the unit that restores volumes and caches; rdctl-images.service: contents;"
                    " rdctl-exports.service: exports",
                ),
            )
        ),
    )
}


def _variables(noun: Node) -> Iterable[str]:
    """Those of its variables, as the main page tells of them."""
    blocks = [block for section in topics.environment() for block in section.blocks]
    known = {term: text for b in blocks if isinstance(b, Terms) for term, text in b.terms}
    return [_term(_bold(name), known[name]) for name in VARIABLES[noun.path]]


def _config_page() -> str:
    first, *rest = topics.config()
    return page(
        "rdctl-config",
        5,
        "the configuration file of rdctl",
        _section("Synopsis", [".br\n".join(_bold(path) + "\n" for path, _ in _config_files())]),
        _section("Description", map(_block, first.blocks)),
        *map(topic, rest),
        _section("Environment", map(_block, topics.environment()[0].blocks)),
        _see_also([("rdctl", 1), ("rdctl-context", 1)]),
    )


def _concepts() -> str:
    return (ROOT / "docs/concepts.md").read_text("utf-8")


def _concepts_page() -> str:
    first, *rest = sections(_concepts(), "docs")
    return page(
        "rdctl-concepts",
        7,
        "what volumes, caches, exports, containers and elections are",
        _section("Description", map(_block, first.blocks)),
        *map(topic, rest),
        _see_also([("rdctl", 1), ("rdctl-rapiddisk", 1), ("rdctl-oio", 1), ("rdctl-config", 5)]),
    )


def _config_files() -> Sequence[tuple[str, str]]:
    return [entry for entry in topics.files().terms if entry[0].endswith(".toml")]


def _page_name(node: Node) -> str:
    return node.path.replace(" ", "-")


# --- parts of a page --------------------------------------------------------------------------


def page(name: str, number: int, summary: str, *parts: str) -> str:
    head = (
        '.\\" Made from the command tree by: make generate\n'
        f'.TH {name.upper()} {number} {DATE} "rdctl {__version__}" "rdctl manual"\n'
        f".SH NAME\n{_escaped(name)} \\- {_escaped(summary.rstrip('.'))}\n"
    )
    return head + "".join(parts)


def _section(heading: str, blocks: Iterable[str], macro: str = ".SH") -> str:
    """Blocks below a heading; between them, but not before the first, stands a .PP."""
    text = f"{macro} {_escaped(heading if macro == '.SS' else heading.upper())}\n"
    for number, block in enumerate(blocks):
        text += block if number == 0 or block.startswith(".TP") else f".PP\n{block}"
    return text


def topic(section: Section) -> str:
    return _section(section.heading, map(_block, section.blocks))


def _exit_status() -> str:
    return topic(topics.exit_codes()[0]._replace(heading="Exit status"))


def _see_also(pages: Iterable[tuple[str, int]]) -> str:
    *some, last = [f".BR {_escaped(name)} ({number})" for name, number in pages]
    return ".SH SEE ALSO\n" + "".join(f"{line} ,\n" for line in some) + f"{last}\n"


def _command(node: Node, options: Options) -> str:
    assert isinstance(node.command, Command)
    blocks = [_command_usage(node, options), *_paragraphs(node), *map(_option, options)]
    blocks += ["Examples:\n", _lines(node.command.examples)]
    return _section(node.path, blocks, ".SS")


def _command_usage(node: Node, options: Options) -> str:
    needed = [
        f"{option.opts[-1]} {_value(option)}{'...' if option.multiple else ''}"
        for option in options
        if option.required
    ]
    words = [node.path, *(["[OPTION]..."] if len(options) > len(needed) else []), *needed]
    for argument in node.arguments:
        word = label(argument)
        words.append(word if argument.required or argument.metavar else f"[{word}]")
    return _usage(" ".join(words))


def _value(option: click.Option) -> str:
    return "|".join(choices(option)) or label(option)


def _option(option: click.Option) -> str:
    term = ", ".join(option.opts)
    if not option.is_flag:
        term += f" {_value(option)}"
    meaning = option.help or ""
    if isinstance(option.type, click.IntRange):
        least, most = option.type.min, option.type.max
        meaning += f" At least {least}." if most is None else f" From {least} to {most}."
    if option.show_default:
        meaning += f" The default is {option.default}."
    return _term(_usage(term), meaning)


def _paragraphs(node: Node) -> list[str]:
    """Its help text."""
    text = inspect.cleandoc(node.command.help or "")
    return [_paragraph(paragraph) for paragraph in text.split("\n\n")]


def _block(block: str | Terms | Lines) -> str:
    if isinstance(block, Terms):
        return "".join(_term(_bold(term), meaning) for term, meaning in block.terms)
    return _lines(block.lines) if isinstance(block, Lines) else _paragraph(block)


# --- roff -------------------------------------------------------------------------------------

ESCAPES = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}
_SPECIAL = re.compile(r"[-\\'`^~]")
_CODE = re.compile(r"`([^`]+)`")
_META = re.compile(r"[A-Z][A-Z0-9=,-]*")
_BETWEEN = re.compile(r"(\.\.\.|[\s|\[\],]+)")


def _escaped(text: str) -> str:
    """Text as roff shows it unchanged."""
    text = _SPECIAL.sub(lambda match: ESCAPES[match[0]], text)
    return f"\\&{text}" if text.startswith(".") else text


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _usage(text: str) -> str:
    """A line of usage: what is typed in bold, what stands for something in italics."""
    parts = _BETWEEN.split(text)
    for number, word in enumerate(parts):
        if word and number % 2 == 0:
            parts[number] = f"\\fI{_escaped(word)}\\fR" if _META.fullmatch(word) else _bold(word)
    return "".join(parts) + "\n"


def _term(term: str, meaning: str) -> str:
    return f".TP\n{term.rstrip()}\n{_paragraph(meaning)}"


def _paragraph(text: str) -> str:
    """Running text; what stands between ` is bold."""
    parts = _CODE.split(" ".join(text.split()))
    styled = "".join(_bold(p) if number % 2 else _escaped(p) for number, p in enumerate(parts))
    lines = textwrap.wrap(styled, 90, break_long_words=False, break_on_hyphens=False)
    return "".join(f"\\&{line}\n" if line.startswith(".") else f"{line}\n" for line in lines)


def _lines(lines: Iterable[str]) -> str:
    return ".RS 4\n.nf\n" + "".join(f"{_escaped(line)}\n" for line in lines) + ".fi\n.RE\n"


def main(argv: Sequence[str]) -> int:
    """Writes the files, or with --check says which are not as they should be."""
    if list(argv) == ["--check"]:
        found = faults(ROOT)
        print(*found, sep="\n")
        return 1 if found else 0
    write(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
