"""The commands in the documents work, and print what is shown there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import (
    CONTINUED,
    ROOT,
    Fault,
    Section,
    as_seen,
    matches,
    reading,
    sections,
    typed_in,
)

DOCUMENTS = (
    "README.md",
    "docs/coming-from.md",
    "docs/concepts.md",
    "docs/cookbook.md",
    "docs/state.md",
    "docs/transfers.md",
    "docs/scripts.md",
    "docs/ssh.md",
    "docs/commands.md",
    "docs/tutorial.md",
)
TEXTS = {name: (ROOT / name).read_text("utf-8") for name in DOCUMENTS}


def faults_of(home: Path, text: str, parts: list[Section]) -> list[str]:
    with reading(home, text, typed_in(parts)) as reader:
        found = [one for part in parts for block in part.blocks for one in reader.follows(block)]
    return [str(one) for one in found if isinstance(one, Fault)]


@pytest.mark.parametrize(
    ("document", "section"),
    [
        pytest.param(name, section, id=f"{name}: {section.title}")
        for name, text in TEXTS.items()
        if name not in CONTINUED
        for section in sections(text)
    ],
)
def test_a_section(tmp_path: Path, document: str, section: Section) -> None:
    if found := faults_of(tmp_path, TEXTS[document], [section]):
        pytest.fail("\n\n".join(found), pytrace=False)


@pytest.mark.parametrize("document", CONTINUED)
def test_a_document_from_the_first_command_to_the_last(tmp_path: Path, document: str) -> None:
    text = TEXTS[document]
    if found := faults_of(tmp_path, text, sections(text, continued=True)):
        pytest.fail("\n\n".join(found), pytrace=False)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_command_is_in_a_block_that_is_not_run(document: str) -> None:
    for section in sections(TEXTS[document]):
        for block in section.blocks:
            if not block.typed and not block.file:
                assert not re.search(r"^[ $]*rdctl ", block.text, re.MULTILINE), block.text


def test_the_cookbook_lists_its_recipes() -> None:
    opening, *recipes = re.split(r"^## ", TEXTS["docs/cookbook.md"], flags=re.MULTILINE)
    titles = [recipe.partition("\n")[0] for recipe in recipes]
    assert re.findall(r"\[([^]]+)\]\(#", opening) == titles
    assert sum("\n**What can go wrong**\n" in recipe for recipe in recipes) >= 12
    for recipe in recipes:
        assert ("\n**When** " in recipe) >= ("\n**What can go wrong**\n" in recipe), recipe


# --- the runner itself --------------------------------------------------------------------------

RIGHT = """
```sh
export RDCTL_CONTEXT=sandbox
```

## A section

```toml a.toml
x = 1
```

```console
$ rdctl rapiddisk list
DEVICE      SIZE     USAGE  LOCKED  USED BY
rd0     32.0 MiB  16.0 KiB  no      export sandbox-rd0
$ rdctl rapiddisk create 64M
created rd1 (...)
[sandbox]
$ rdctl rapiddisk remove rd1
On context sandbox: volume rd1 (64.0 MiB, empty) will be removed. Continue? [y/N] y
removed rd1
[sandbox]
$ rdctl rapiddisk show rd9
...
$ echo $?
3
$ for name in one two; do
>     echo "$name"
> done
one
...
$ cat a.toml
x = 1
```

```sh a.sh
#!/bin/sh
exit $1
```

```console
$ ./a.sh 5
$ echo $?
5
```
"""


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("", "", ""),
        ("LOCKED  USED", "LOCKED USED", "LOCKED  USED BY"),
        ("created rd1", "created rd2", "created rd1"),
        ("show rd9\n...\n$ echo $?\n3\n", "show rd9\n...\n", "exit code 3"),
        ("\n3\n", "\n4\n", "$ echo $?\n3"),
        ("[y/N] y", "[y/N] n", "exit code 1"),
        ("one\n...\n$ cat", "two\n...\n$ cat", "one\ntwo"),
        ("one\n...\n$ cat", "one\n$ cat", "one\ntwo"),
        ("x = 1\n```\n\n", "x = 2\n```\n\n", "$ cat a.toml\nx = 2"),
        ("./a.sh 5", "./a.sh 6", "$ echo $?\n6"),
        ("create 64M\ncreated rd1 (...)\n[sandbox]\n", "create 64M\n", "$ rdctl rapiddisk create"),
        ("export RDCTL_CONTEXT=sandbox", "rdctl rapiddisk show rd9", "exit code"),
        ("export RDCTL_CONTEXT=sandbox", "echo | cat; exit 7", "exit code 7"),
    ],
)
def test_the_runner_notices(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in RIGHT
    text = RIGHT.replace(old, new, 1)
    found = "\n".join(faults_of(tmp_path, text, sections(text)))
    assert bool(found) == bool(why), found
    assert why in found


@pytest.mark.parametrize(
    ("shown", "real", "same"),
    [
        ("", "", True),
        ("", "a", False),
        ("a", "", False),
        ("a ... c", "a b c", True),
        ("a ... c", "a b\nc", False),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nd", True),
        ("a\n...\nd", "a\nb\nd\ne", False),
        ("a.c", "abc", False),
    ],
)
def test_matches(shown: str, real: str, same: bool) -> None:
    assert matches(shown, real) == same


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        ("a\nb \n", "a\nb"),
        ("a\r\nb\r\n", "a\nb"),
        ("\x1b[1ma\x1b[0m\n", "a"),
        ("10 %\r50 %\n", "50 %"),
        ("10 %\r\x1b[2Kdone\n", "done"),
        ("kept\n10 %\n\x1b[1A\x1b[2Kdone\n", "kept\ndone"),
    ],
)
def test_what_is_seen(printed: str, seen: str) -> None:
    assert as_seen(printed) == seen
