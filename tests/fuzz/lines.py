"""Random command lines: some as they should be, some not."""

from __future__ import annotations

import json
import random
import shlex
from typing import NamedTuple

import click

from rdctl.cli.options import GLOBALS
from rdctl.cli.tree import Command, root
from rdctl.completion.nodes import walk
from tests.cli.oio.cases import CASES
from tests.cli.test_help import examples_of
from tests.rapiddisk.acts import ACTS


class Line(NamedTuple):
    """A command line, and what it is run with."""

    argv: list[str]
    stdin: bytes
    env: dict[str, str]
    tty: bool
    width: int

    def __str__(self) -> str:
        words = shlex.join(self.argv).encode("utf-8", "backslashreplace").decode()
        more = [f"{name}={value!r}" for name, value in self.env.items()]
        more += [f"stdin {self.stdin!r}"] * bool(self.stdin)
        more += [f"on a terminal of {self.width} columns"] * self.tty
        return " | ".join([f"rdctl {words}", *more])


# It serves until it is stopped.
VERBS = [
    node
    for node in walk(root)
    if isinstance(node.command, Command) and node.path != "rdctl sandbox serve"
]
NODES = [node for node in walk(root) if node.path != "rdctl sandbox serve"]
# Command lines that are known to mean something, without the program's name.
KNOWN = [
    *(shlex.split(f"oio {case.words}") for case in CASES),
    *(shlex.split(f"rapiddisk {act.words}") for act in ACTS.values()),
    *(
        shlex.split(example)[1:]
        for node in VERBS
        for example in examples_of(node)
        if not set(example) & set("|$><&;(") and example.startswith("rdctl ")
    ),
]
KNOWN = [words for words in KNOWN if words[:2] != ["sandbox", "serve"]]

# Escapes that no terminal may ever see.
HOSTILE = "\x1b]0;PWN\x07"
WORDS = (
    *"rd0 rd1 rd2 rd9 rd00 rd-1 rc-wb_vdb vdb vdc photos videos docs lab here user1".split(),
    *"sandbox rawx meta2 rdir 127.0.0.1:16013 127.0.0.1:9 cat.jpg 2024/a SINGLE".split(),
    *"a=b color=blue =b a= sys.a=1 1 0 -1 2 7 64 1M 64M 1GiB 99T 0.5 1e3 nan inf - -- / .".split(),
    *"body.json names tree tree/one no-such nqn.2021-06.org.x:rd0 *.jpg size,name -size".split(),
    *"items[0].name items[::2] sort_by(items,&name) GET /x get conscience/list 8 127.0.0.1".split(),
    *"tcp rdma write-through wb '' table json name yaml".split(),
    "a file",
    "",
    " ",
    "\n",
    "é\u202e中",
    "\udcff\udcfe",
    HOSTILE,
    "\x9b2J",
    "$(touch x)",
    "x; y",
    "'\"",
    "-y",
    "--json",
    "9" * 5000,
    "a" * 5000,
    "../" * 3 + "x",
    "%2F%00",
    '{"a":1}',
    "[" * 2000,
    "http://127.0.0.1:9",
    "http://[fe80::1%25lo]:9",
    "http://a b/",
)
PLAUSIBLE = {
    "VOLUME": ("rd0", "rd1", "rd2"),
    "DEVICE": ("rd0", "rd1", "rc-wb_vdb"),
    "CACHE": ("rc-wb_vdb",),
    "SOURCE": ("vdb", "vdc"),
    "CONTAINER": ("photos", "videos", "docs"),
    "REFERENCE": ("photos", "user1"),
    "PATH": ("cat.jpg", "2024/a", "a b"),
    "SIZE": ("1M", "64M", "128M", "4096"),
    "TYPE": ("rawx", "meta2", "rdir"),
    "ADDRESS": ("127.0.0.1:16013", "127.0.0.1:16010"),
    "FILE": ("a file", "body.json", "names", "-"),
    "NAME": ("lab", "here", "new"),
    "KEY=VALUE": ("color=blue", "account=me", "timeout=3"),
    "METHOD": ("GET", "POST"),
}


def line(rng: random.Random, where: list[list[str]]) -> Line:
    """`where` are the options that choose a system, of which one is taken."""
    words = list(rng.choice(KNOWN)) if rng.random() < 0.4 else made(rng)
    if words[:1] == ["--local"] or words[:1] == ["-c"]:
        words = words[1 if words[0] == "--local" else 2 :]
    if rng.random() < 0.2:
        words += option_of(rng)
    for share, more in ((0.3, "--json"), (0.2, "--yes"), (0.08, "--dry-run"), (0.05, "--trace")):
        if rng.random() < share:
            words.insert(rng.choice((0, len(words), rng.randrange(len(words) + 1))), more)
    if rng.random() < 0.3:
        for _ in range(rng.randint(1, 3)):
            words = spoiled(rng, words)
    argv = [*rng.choice(where), *words]
    return Line(tame(argv), stdin(rng), env(rng), rng.random() < 0.15, rng.choice((80, 200, 20, 1)))


def sound(rng: random.Random, where: list[str]) -> Line:
    """A line that asks a server something."""
    words = list(rng.choice(KNOWN)) if rng.random() < 0.6 else made(rng, plausible=0.95)
    if words[:1] == ["--local"] or words[:1] == ["-c"]:
        words = words[1 if words[0] == "--local" else 2 :]
    words += ["--yes"] * (rng.random() < 0.6) + ["--json"] * (rng.random() < 0.5)
    given = stdin(rng)
    for case in CASES:
        if case.body is not None and words[1:] == shlex.split(case.words):
            given = case.stdin
    return Line(tame([*where, *words]), given, {}, rng.random() < 0.2, 80)


def made(rng: random.Random, plausible: float = 0.9) -> list[str]:
    """A line for some command, by what the tree says that it takes."""
    node = rng.choice(VERBS if rng.random() < 0.95 else NODES)
    words = node.path.split()[1:]
    for param in node.command.params:
        if isinstance(param, click.Argument):
            count = 1 if param.nargs == 1 else rng.choice((0, 1, 1, 2, 3))
            if rng.random() < 0.97:
                words += [value_of(rng, param, plausible) for _ in range(count)]
        elif isinstance(param, click.Option) and (param.required or rng.random() < 0.1):
            words.append(rng.choice(param.opts))
            if not param.is_flag:
                words.append(value_of(rng, param, plausible))
    return words


def value_of(rng: random.Random, param: click.Parameter, plausible: float) -> str:
    if rng.random() > plausible:
        return rng.choice(WORDS)
    if isinstance(param.type, click.Choice):
        return str(rng.choice(list(param.type.choices)))
    if isinstance(param.type, click.types.IntParamType | click.types.FloatParamType):
        return str(rng.choice((0, 1, 2, 3, 10, 1000)))
    word = str(param.metavar or param.name).strip("[].").upper()
    return rng.choice(PLAUSIBLE.get(word, WORDS))


QUERIES = (
    "items[0]",
    "[*].name",
    "length(@)",
    "[",
    "a[::2]",
    "[::0]",
    "@",
    "to_number('nan')",
    "[].to_number('1e999')",
    "[?size < 'x']",
    "sum([].device)",
)


def option_of(rng: random.Random) -> list[str]:
    option = rng.choice([option for option in GLOBALS if option.name != "oio_url"])
    words = [rng.choice(option.spellings)]
    if isinstance(option.value, tuple):
        words.append(rng.choice(option.value))
    elif option.name == "query":
        words.append(rng.choice(QUERIES))
    elif option.value is not None:
        words.append(rng.choice(WORDS))
    return words


def spoiled(rng: random.Random, words: list[str]) -> list[str]:
    """The line with one fault."""
    words = list(words) or [""]
    place = rng.randrange(len(words))
    match rng.randrange(7):
        case 0:
            del words[place]
        case 1:
            words.insert(place, words[place])
        case 2:
            other = rng.randrange(len(words))
            words[place], words[other] = words[other], words[place]
        case 3:
            words[place] = rng.choice(WORDS)
        case 4:
            words.insert(place, rng.choice(WORDS))
        case 5:
            words.insert(place, rng.choice(GLOBALS).spellings[-1])
        case 6:
            word = words[place]
            cut = rng.randrange(len(word) + 1)
            words[place] = word[:cut] + rng.choice(WORDS)[:20] + word[cut + rng.randrange(2) :]
    return words


def tame(words: list[str]) -> list[str]:
    """Without what a random line may not do here: serve, read all of the machine, and send a
    request for each of 65,536 databases."""
    words = [word.replace("..", ".", max(0, word.count("..") - 3)) for word in words]
    words = ["status" if word == "serve" else word for word in words]
    few = {"warmup": ["warmup", "--prefix", "8F5"]}
    return [more for word in words for more in few.get(word, [word])]


def stdin(rng: random.Random) -> bytes:
    match rng.randrange(8):
        case 0:
            return b"".join(
                rng.choice(WORDS).encode("utf-8", "surrogateescape") + b"\n" for _ in "abc"
            )
        case 1:
            return rng.randbytes(rng.randrange(50))
        case 2:
            return json.dumps(rng.choice(WORDS)).encode()
        case 3:
            return b"rd0\nrd1\nphotos\n"
        case 4:
            return rng.choice((b"n\n", b"a\0b\n", b"\xff\n", b"{}", b"[]", b'{"a": 1}'))
        case _:
            return b""


VARIABLES = (
    *"RDCTL_OUTPUT RDCTL_COLOR RDCTL_TIMEOUT RDCTL_RETRIES RDCTL_CONTEXT RDCTL_NAMESPACE".split(),
    *"RDCTL_ACCOUNT RDCTL_DIALECT RDCTL_RAPIDDISK_URL RDCTL_CA RDCTL_CERT RDCTL_KEY".split(),
    *"RDCTL_TOKEN_FILE RDCTL_HTTP_PROXY COLUMNS NO_COLOR TERM http_proxy".split(),
)


def env(rng: random.Random) -> dict[str, str]:
    if rng.random() > 0.08:
        return {}
    return {rng.choice(VARIABLES): rng.choice(WORDS)}
