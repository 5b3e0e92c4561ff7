"""What the scripts ask for, and the words of bash."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdctl.completion.answer import main
from rdctl.completion.request import Candidate, escaped, replacements, unquoted
from rdctl.core.units import CONTROL
from tests.completion.conftest import Completion
from tests.completion.test_names import HOSTILE


class Words:
    """A bash that tells what a word means to it."""

    def __init__(self) -> None:
        # History is not expanded where nobody types.
        self.process = subprocess.Popen(
            [
                "bash",
                "--norc",
                "-c",
                r"""while IFS= read -r w; do eval "printf '%s\n' $w" || echo; done""",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"},
        )

    def __call__(self, word: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().removesuffix("\n")


@pytest.fixture(scope="module")
def meaning() -> Iterator[Words]:
    words = Words()
    yield words
    words.process.communicate()


NAMES = st.text(min_size=1).filter(lambda text: not CONTROL.search(text)) | st.sampled_from(HOSTILE)
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def inserted(raw: str, name: str) -> list[str]:
    """The word as it stands after a name was taken for what was typed: readline closes a quotation
    mark, unless the word ends with one."""
    typed = unquoted(raw)
    words = replacements([Candidate(name)], typed.text, typed, "", "")
    lines = [(raw[: typed.opened] if typed.quote else "") + word for word in words]
    return [line + ("" if line.endswith(typed.quote) else typed.quote) for line in lines]


@SLOW
@given(NAMES, st.data(), st.sampled_from(["", "'", '"']))
def test_what_is_inserted_means_the_name(
    meaning: Words, name: str, data: st.DataObject, quote: str
) -> None:
    """After any beginning, typed in any way."""
    cut = data.draw(st.integers(0, len(name)))
    raw = quote + escaped(name[:cut], quote)
    (word,) = inserted(raw, name)
    assert meaning(word) == name


@SLOW
@given(NAMES, NAMES, st.sampled_from(["", "'", '"']))
def test_what_two_names_share_can_be_gone_on_with(
    meaning: Words, one: str, other: str, quote: str
) -> None:
    """The shell types as much of the words as they share, which may end after a backslash."""
    first, second = (inserted(quote, name)[0] for name in (one, other))
    common = os.path.commonprefix([first, second])  # noqa: RUF071
    for name in (one, other):
        again = inserted(common, name)
        if again:
            assert meaning(again[0]) == name


@pytest.mark.parametrize(
    ("raw", "text", "quote"),
    [
        ("", "", ""),
        ("abc", "abc", ""),
        (r"a\ b", "a b", ""),
        ("a\\", "a", ""),
        ('"a\\', "a", '"'),
        ("'a\\", "a\\", "'"),
        ("'a b'c", "a bc", ""),
        ('"a"\'b', "ab", "'"),
        (r'"a\"b\n', r"a\n".replace("a", 'a"b'), '"'),
        ('a"b c', "ab c", '"'),
        ("'it'\\''s", "it's", "'"),
    ],
)
def test_what_a_word_means_so_far(raw: str, text: str, quote: str) -> None:
    typed = unquoted(raw)
    assert (typed.text, typed.quote) == (text, quote)


@pytest.mark.parametrize(
    ("option", "head", "value", "answer"),
    [
        ("", "", "127.0.0.1:16018", "127.0.0.1:16018"),
        ("", "127.0.0.1:", "127.0.0.1:16018", "16018"),
        ("--to=", "--to=", "127", "127.0.0.1:16018"),
        ("--to=", "--to=127.0.0.1:", "127.0.0.1:160", "16018"),
        ("--to=", "", "127.0.0.1:160", "--to=127.0.0.1:16018"),
        ("--to=", "", '"127.0.0.1:160', "127.0.0.1:16018"),
        ("", "", "'127.0.0.1:160", "127.0.0.1:16018"),
        ("", "", "1'27.0.0.1:160", "27.0.0.1:16018"),
        ("", "", "no", None),
    ],
)
def test_the_part_of_the_word_that_readline_replaces(
    complete: Completion, option: str, head: str, value: str, answer: str | None
) -> None:
    environment = complete.environment
    where = ["-c", '"sandbox"']
    main(["bash", "address", option, head, value, "1", "r'dir'", *where], environment)
    lines = environment.stdout.raw.getvalue().decode().splitlines()  # type: ignore[attr-defined]
    assert (lines[0] if lines else None) == answer


def test_zsh_is_told_what_names_mean(complete: Completion) -> None:
    environment = complete.environment
    main(["zsh", "volume", "", "", "", "0", "-c", "sandbox"], environment)
    assert environment.stdout.raw.getvalue() == b"rd0\t32.0 MiB\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["bash"],
        ["bash", "volume", "", "", "", "x"],
        ["bash", "nosuch", "", "", "", "0", "-c", "sandbox"],
        ["tcsh", "content", "", "", "", "0", "-c", "sandbox"],
        ["bash", "volume", "", "", "", "0", "-c", "nosuch"],
        ["bash", "volume", "", "", "", "0", "--local", "--rapiddisk-url", "http://h:1"],
    ],
)
def test_what_is_wrong_is_not_told(complete: Completion, argv: list[str]) -> None:
    environment = complete.environment
    main(argv, environment)
    assert environment.stdout.raw.getvalue() == b""  # type: ignore[attr-defined]
    assert environment.stderr.raw.getvalue() == b""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("word", "runs"),
    [
        ("$(", True),
        ('"$(reboot', True),
        ("`", True),
        ("a`b", True),
        ("'$('", False),
        ("\\$(", False),
        ("\\`", False),
        ("$a", False),
        ("(", False),
    ],
)
def test_nothing_is_offered_in_a_command_substitution(word: str, runs: bool) -> None:
    """A name of the form $(reboot) would be executed with the line."""
    assert unquoted(word).runs is runs
