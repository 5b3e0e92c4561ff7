"""The completion scripts, in the shells that they are for, at a real prompt."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rdctl.cli.tree import root
from rdctl.completion.nodes import Node, Slot, may_lack_value, parted, slots, walk
from tests.completion.shells import SCRIPTS, SHELLS, Bash, Fish, Offering, Prompt, prompt_of

NODES = walk(root)
ANYWHERE, OWN = parted(root)
GLOBALS = {spelling for option in ANYWHERE for spelling in option.opts}
FORMATS = {"table", "json", "ndjson", "yaml", "csv", "tsv", "name"}
POLICIES = {"write-through", "write-around", "writeback"}


# --- bash, called as readline calls it, and fish as its own tests call it -----------------------


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    """Without any PATH: completing words starts no program."""
    shell = Bash(tmp_path_factory.mktemp("bash"))
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def fish(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fish]:
    """Without any PATH, too."""
    if shutil.which("fish") is None:
        pytest.skip("no fish")
    shell = Fish(tmp_path_factory.mktemp("fish"))
    yield shell
    shell.end()


@pytest.fixture(scope="module", params=["bash", "fish"])
def shell(request: pytest.FixtureRequest) -> Offering:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Offering)
    return found


def names(node: Node) -> set[str]:
    return {str(child.command.name) for child in node.children}


def spellings(node: Node) -> set[str]:
    return GLOBALS | {spelling for option in OWN[node] for spelling in option.opts}


@pytest.mark.parametrize("node", OWN, ids=lambda node: node.path)
def test_every_place_in_the_tree(shell: Offering, node: Node) -> None:
    values = [value for argument in node.arguments for value in slots(node.path, argument)]
    assert shell(f"{node.path} ") == names(node) | offered(shell, values[:1], node)
    assert shell(f"{node.path} -") == spellings(node)
    for option in OWN[node]:
        check_option(shell, node, option)


@pytest.mark.parametrize("path", ["rdctl", "rdctl rapiddisk", "rdctl rapiddisk cache create"])
def test_options_stand_anywhere(shell: Offering, path: str) -> None:
    (node,) = (node for node in OWN if node.path == path)
    for option in ANYWHERE:
        check_option(shell, node, option)


def check_option(shell: Offering, node: Node, option: click.Option) -> None:
    """Its value is completed, and what stands behind it as if it were not there."""
    for spelling in option.opts:
        if spelling in ("--cid", "--content-id", "--auto"):
            continue  # they stand in place of an argument
        if option.is_flag or may_lack_value(option):
            assert shell(f"{node.path} {spelling} ") == shell(f"{node.path} ")
            continue
        expected = offered(shell, slots(node.path, option), node)
        assert shell(f"{node.path} {spelling} ") == expected
        assert shell(f"{node.path} {spelling} value ") == shell(f"{node.path} ")
        if spelling.startswith("--"):
            assert shell(f"{node.path} {spelling}=") == expected
            assert shell(f"{node.path} {spelling}=value ") == shell(f"{node.path} ")
        else:
            assert shell(f"{node.path} {spelling}value ") == shell(f"{node.path} ")


def offered(shell: Offering, values: list[Slot], node: Node) -> set[str]:
    """What is offered for the first value where no rdctl is there to be asked."""
    if not values:
        return set()
    kind, words = values[0].kind, set(values[0].words)
    # Of a word that assigns, and of one in a list, the end is still to come.
    follows = kind == "keys" or any(word.endswith("=") for word in words)
    if follows and isinstance(shell, Bash):
        words |= {"<nospace>"}
    return words | {
        "file": {"<default>"},
        "container-or-file": {"<default>"},
        "keys": set(node.keys),
        "sort-key": set(node.keys),
    }.get(kind, set())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rdctl rap", {"rapiddisk"}),
        ("rdctl -c sandbox rapiddisk c", {"create", "cache"}),
        ("rdctl --rapiddisk-url http://[::1]:9118 rapiddisk cr", {"create"}),
        ("rdctl --rapiddisk-url=http://h:9118 rapiddisk cr", {"create"}),
        ("rdctl rapiddisk -o json cache create rd1 sdb --po", {"--policy"}),
        ("rdctl rapiddisk cache create --policy write-", {"write-through", "write-around"}),
        ("rdctl rapiddisk cache create --policy=writeb", {"writeback"}),
        ("rdctl rapiddisk list -o ", FORMATS),
        ("rdctl rapiddisk list -o n", {"ndjson", "name"}),
        ("rdctl rapiddisk list -ojson --no-", {"--no-headers"}),
        ("rdctl rapiddisk list -- -", set()),
        ("rdctl rapiddisk list rd0 -- --no-", set()),
        ("rdctl rapiddisk remove - --fo", {"--force"}),
        ("rdctl rapiddisk nosuch ", names(next(n for n in NODES if n.path == "rdctl rapiddisk"))),
        ("rdctl help ex", {"exit-codes"}),
        ("rdctl help exit-codes ", set()),
        ("rdctl completion --json ", {"bash", "fish", "zsh"}),
        ("rdctl rapiddisk * ", names(next(n for n in NODES if n.path == "rdctl rapiddisk"))),
        ("rdctl context set a:b=c --quie", {"--quiet"}),
        ("rdctl --vers", {"--version"}),
        ("rdctl rapiddisk --vers", set()),
        ("rdctl -yc sandbox rapiddisk cr", {"create"}),
        ("rdctl -yqo json rapiddisk cr", {"create"}),
        ("rdctl -ojs", {"-ojson"}),
        ("rdctl rapiddisk list --columns de", {"device", "<nospace>"}),
        ("rdctl rapiddisk list --columns device,usa", {"device,usage", "<nospace>"}),
        ("rdctl rapiddisk list --columns=device,usa", {"device,usage", "<nospace>"}),
        ("rdctl rapiddisk list --columns device,dev", {"<nospace>"}),
        (
            "rdctl rapiddisk list --columns=size,locked,",
            {
                "<nospace>",
                *(f"size,locked,{key}" for key in ("device", "unwritten", "usage", "used_by")),
            },
        ),
        ("rdctl rapiddisk list --columns '*',loc", {"'*',locked", "<nospace>"}),
        ("rdctl rapiddisk list --sort-by usa", {"usage"}),
        ("rdctl rapiddisk list --sort-by -usa", {"-usage"}),
        ("rdctl rapiddisk list --sort-by=-usa", {"-usage"}),
        ("rdctl rapiddisk remove --columns tar", {"target", "<nospace>"}),
        ("rdctl rapiddisk --columns dev", {"<nospace>"}),
        ("rdctl rapiddisk list --watch --no-", {"--no-headers"}),
        ("rdctl context set lab oi", {"oio=", "<nospace>"}),
        ("rdctl context set lab oio=http://h:1 rapid", {"rapiddisk=", "<nospace>"}),
        ("rdctl oio api GET conscience/in", {"conscience/info"}),
        ("rdctl oio container raw-insert photos --body ", {"<default>"}),
        ("rdctl oio container raw-insert photos --body=b", {"<default>"}),
        ("rdctl --table-style gith", {"github"}),
        ("rdctl rapiddisk rm --uns", {"--unseen"}),
        ("rdctl disk cache map rd1 sdb --policy=writeb", {"writeback"}),
        ("rdctl bucket cre", {"create"}),
        ("rdctl oio content cat photos --uns", set()),
    ],
)
def test_words_in_bash(bash: Bash, line: str, words: set[str]) -> None:
    assert bash(line) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rdctl rap", {"rapiddisk"}),
        ("rdctl rapiddisk -o json cache create rd1 sdb --po", {"--policy"}),
        ("rdctl rapiddisk cache create --policy=writeb", {"writeback"}),
        ("rdctl rapiddisk cache create --policy 'writeb", {"writeback"}),
        ("rdctl rapiddisk list -o n", {"ndjson", "name"}),
        ("rdctl rapiddisk list -ojson --no-", {"--no-headers"}),
        ("rdctl rapiddisk list -- -", set()),
        ("rdctl rapiddisk list rd0 -- --no-", set()),
        ("rdctl rapiddisk remove - --fo", {"--force"}),
        ("rdctl rapiddisk '*' rem", {"remove"}),
        ("rdctl rapiddisk 'a b' \"c'd\" e\\ f rem", {"remove"}),
        ("rdctl help ex", {"exit-codes"}),
        ("rdctl help exit-codes ", set()),
        ("rdctl -yc sandbox rapiddisk cr", {"create"}),
        ("rdctl -yqo json rapiddisk cr", {"create"}),
        ("rdctl -ojs", {"-ojson"}),
        ("true; rdctl rapiddisk cr", {"create"}),
        ("rdctl list | rdctl rapiddisk cr", {"create"}),
        ("RDCTL_CONTEXT=sandbox rdctl rapiddisk cr", {"create"}),
        ("rdctl rapiddisk list --columns device,usa", {"device,usage"}),
        ("rdctl rapiddisk list --columns=device,usa", {"device,usage"}),
        ("rdctl rapiddisk list --columns device,dev", set()),
        (
            "rdctl rapiddisk list --columns=size,locked,",
            {f"size,locked,{key}" for key in ("device", "unwritten", "usage", "used_by")},
        ),
        ("rdctl rapiddisk list --sort-by=-usa", {"-usage"}),
        ("rdctl rapiddisk --columns dev", set()),
        ("rdctl rapiddisk list --watch --no-", {"--no-headers"}),
        ("rdctl context set lab oio=http://h:1 rapid", {"rapiddisk="}),
        ("rdctl oio api GET conscience/in", {"conscience/info"}),
        ("rdctl oio container raw-insert photos --body ", {"<default>"}),
        ("rdctl oio container raw-insert photos --body=", {"<default>"}),
        ("rdctl oio container raw-insert photos --body='<", {"<default>"}),
        ("rdctl oio container raw-insert photos --body x", set()),
        ("rdctl --table-style gith", {"github"}),
        ("rdctl rapiddisk cache create --policy \\", POLICIES),
        # As a part of the word, but never of its description.
        ("rdctl rapiddisk LIS", {"list"}),
        ("rdctl rapiddisk esize", {"resize"}),
        ("rdctl rapiddisk erase", set()),
        ("rdctl rapiddisk list --columns kernel", set()),
        ("rdctl rapiddisk 'l[i]s", set()),
        ("rdctl rapiddisk rm --uns", {"--unseen"}),
        ("rdctl bucket cre", {"create"}),
    ],
)
def test_words_in_fish(fish: Fish, line: str, words: set[str]) -> None:
    assert fish(line) == words


def test_fish_says_what_words_mean(fish: Fish) -> None:
    for node, options in OWN.items():
        if node.children:
            assert fish.about(f"{node.path} ") == {
                str(child.command.name): child.summary for child in node.children
            }
        about = fish.about(f"{node.path} -")
        for option in [*ANYWHERE, *options]:
            assert {about[spelling] for spelling in option.opts} == {option.help}
        if not node.children:
            columns = {column.key: column.doc for column in node.columns}
            assert fish.about(f"{node.path} --columns ") == columns


# --- at a prompt ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SHELLS)
def prompt(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prompt]:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param}")
    shell = prompt_of(request.param, tmp_path_factory.mktemp(request.param))
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("rdctl rap", "rdctl rapiddisk "),
        ("rdctl rapiddisk cre", "rdctl rapiddisk create "),
        ("rdctl -c sandbox --json rapiddisk nvm", "rdctl -c sandbox --json rapiddisk nvmet "),
        ("rdctl rapiddisk --output=js", "rdctl rapiddisk --output=json "),
        ("rdctl rapiddisk list -o js", "rdctl rapiddisk list -o json "),
        ("rdctl --color al", "rdctl --color always "),
        ("rdctl rapiddisk list --dry", "rdctl rapiddisk list --dry-run "),
        (
            "rdctl rapiddisk cache create rd1 sdb --policy writeb",
            "rdctl rapiddisk cache create rd1 sdb --policy writeback ",
        ),
        (
            "rdctl --rapiddisk-url http://h:9118 rapiddisk fl",
            "rdctl --rapiddisk-url http://h:9118 rapiddisk flush ",
        ),
        ("rdctl help exi", "rdctl help exit-codes "),
        ("rdctl completion zs", "rdctl completion zsh "),
        ("rdctl rapiddisk frobnicat", "rdctl rapiddisk frobnicat"),
        ("rdctl rapiddisk show r", "rdctl rapiddisk show r"),
        ("rdctl rapiddisk list -- --js", "rdctl rapiddisk list -- --js"),
        ("rdctl rapiddisk rm --disc", "rdctl rapiddisk rm --discard-contents "),
        ("rdctl bucket cre", "rdctl bucket create "),
    ],
)
def test_a_line_is_completed(prompt: Prompt, line: str, completed: str) -> None:
    assert prompt(line)[0] == completed


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("size,usa", "size,usage"),
        ("size,usage,si", "size,usage,si"),
        ("size,locked,used_by,unwritten,device,", "size,locked,used_by,unwritten,device,usage"),
    ],
)
def test_no_column_is_completed_twice(prompt: Prompt, typed: str, completed: str) -> None:
    for option in ("--columns ", "--columns="):
        line = f"rdctl rapiddisk list {option}"
        # What follows differs: zsh adds a comma, and fish a blank.
        assert prompt(line + typed)[0].rstrip(", ") == line + completed


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rdctl ", names(NODES[0])),
        ("rdctl rapiddisk -o ", FORMATS),
        ("rdctl rapiddisk cache create --policy ", POLICIES),
        ("rdctl rapiddisk create --", {"--count", "--overcommit", "--json", "--help"}),
    ],
)
def test_what_may_follow_is_listed(prompt: Prompt, line: str, words: set[str]) -> None:
    assert words <= set(re.split(r"[\s,]+", prompt.listed(line, max(words))))


def test_zsh_says_what_words_mean(tmp_path: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("no zsh")
    prompt = prompt_of("zsh", tmp_path)
    try:
        _, shown = prompt("rdctl rapiddisk ", tabs=2)
        for node in NODES:
            if node.path.startswith("rdctl rapiddisk ") and node.path.count(" ") == 2:
                assert re.search(rf"{node.command.name} +-- {re.escape(node.summary)}", shown)
        _, shown = prompt("rdctl rapiddisk create -", tabs=2)
        (create,) = (node for node in OWN if node.path == "rdctl rapiddisk create")
        for option in [*ANYWHERE, *OWN[create]]:
            assert f"-- {option.help}" in shown
    finally:
        prompt.close()


# Without the settings of a user.
BARE = {"bash": ["--norc"], "fish": ["--no-config"], "zsh": ["-f"]}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_sound_and_can_be_sourced(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    script = tmp_path / "script"
    script.write_text(SCRIPTS[shell](root))
    assert subprocess.run([shell, "-n", script], check=False, capture_output=True).stderr == b""
    source = {
        "bash": f"source {script}; complete -p rdctl",
        "fish": f"source {script}; complete -c rdctl",
        "zsh": f"autoload -Uz compinit; compinit -D -u; source {script}; print $_comps[rdctl]",
    }
    done = subprocess.run(
        [shell, *BARE[shell], "-c", source[shell]],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "_rdctl" in done.stdout
    assert done.stderr == ""
