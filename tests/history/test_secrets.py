"""Secrets: typed in every place of the command line that can hold one, then looked for in the
history, the journal and the trace."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from rdctl.cli.tree import root
from rdctl.completion.nodes import Node, walk
from rdctl.core.secrets import masked, masked_json, masked_words
from tests.conftest import Program
from tests.rapiddisk.keys import ONE_KEY

SECRET = "geheimnis"
URL = f"http://ada:{SECRET}@127.0.0.1:9"
FORMS = (
    f"password={SECRET}",
    f"db_password={SECRET}",
    f"X-Api-Token={SECRET}",
    f"secret.key={SECRET} with blanks",
    f"Authorization: Bearer {SECRET}",
    f"X-Auth-Token: {SECRET}",
    f"cookie:{SECRET}",
    f'{{"password": "{SECRET}"}}',
    f'{{"properties": {{"token": "{SECRET}", "a": "b"}}}}',
    f'[{{"secret": ["{SECRET}", {{"x": "{SECRET}"}}]}}]',
    f'{{"pass\\u0077ord": "{SECRET}"}}',
    f"http_proxy={URL}",
    f"http_proxy=http://ada:a/{SECRET}@127.0.0.1:9",
    URL,
    f"http://{SECRET}@127.0.0.1:9",
    f"http://127.0.0.1:9/x?password={SECRET}&b=c",
)


@pytest.mark.parametrize("form", FORMS)
def test_words_are_masked(form: str) -> None:
    for words in ([form], ["--body", form], [f"--header={form}"], ["-H", form, "more"]):
        assert SECRET not in " ".join(masked_words(words))


@pytest.mark.parametrize("form", FORMS)
def test_texts_are_masked(form: str) -> None:
    if "pass\\u0077ord" not in form:  # no text of ours has it
        for text in (form, f"curl -H '{form}' x", f"{form}: not found"):
            plain = "blanks" in form or form.startswith(("X-Auth", "cookie", "["))
            assert plain or "a/" in form or SECRET not in masked(text), text
    assert SECRET not in masked_json(form) or form.startswith(("X-Auth", "cookie", "http_proxy"))


@pytest.mark.parametrize(
    "text",
    [
        f"http://ada:a@{SECRET}@127.0.0.1:9",
        f"http://ada:{SECRET}'x@127.0.0.1:9",
        f"x=http://ada:a/{SECRET}@h:9",
        *(f"{name}={SECRET}" for name in ("pwd", "db-pass", "auth", "sig", "signature", "X-Auth")),
        f"note=Authorization: Basic {SECRET}",
        f"note=Cookie: a={SECRET}",
        f"password: {SECRET}",
        f"--password {SECRET}",
        f"http://h/x?token%3D{SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_in_words_and_in_lines(text: str) -> None:
    for line in (text, f"curl -d '{text}' http://127.0.0.1:9/x"):
        assert SECRET not in masked(line)
    assert SECRET not in " ".join(masked_words([text]))


def test_pairs_in_json() -> None:
    text = f'[{{"name": "password", "value": "{SECRET}"}}, {{"name": "a", "value": "b"}}]'
    assert masked_json(text) == text.replace(SECRET, "***")
    assert SECRET not in masked_json(text.replace('"name"', '"key"'))


def test_a_port_is_no_password() -> None:
    text = "http://127.0.0.1:9118/photos/a@b.jpg: not found"
    assert masked(text) == text


@pytest.mark.parametrize(
    "word",
    [
        "passage=1",
        "author=ada",
        "rd0",
        "64M",
        "--yes",
        "color=blue",
        "token_file=/etc/rdctl/token",
        '{"properties": {"color": "blue"}}',
        "http://127.0.0.1:9118",
        "photos/2026/a@b.jpg",
        "nqn.2021-06.org.rapiddisk:rdvm-rd0",
        "12:30",
    ],
)
def test_what_is_no_secret_stays(word: str) -> None:
    assert list(masked_words([word])) == [word]
    assert masked(word) == masked_json(word) == word


def test_the_value_of_an_option_that_is_called_a_secret() -> None:
    assert list(masked_words(["--token", SECRET, "rd0"])) == ["--token", "***", "rd0"]
    assert list(masked_words(["--key-file", "/a"])) == ["--key-file", "/a"]
    words = ["set", "--no-auth", "nqn.2014-08.org.example:db1", "--yes"]
    assert list(masked_words(words)) == words
    assert masked(" ".join(words)) == " ".join(words)


def test_a_key_of_a_host_has_no_place_in_any_text() -> None:
    for text in (ONE_KEY, f"--auth-key-file={ONE_KEY}", f'invalid name "{ONE_KEY}"'):
        for found in (masked(text), masked_json(text), *masked_words([text])):
            assert found == text.replace(ONE_KEY, "DHHC-1:00:***:")
    (found,) = masked_words([f'{{"name": "{ONE_KEY}"}}'])
    assert found == '{"name": "DHHC-1:00:***:"}'


# The whole tree ---------------------------------------------------------------------------------

LEAVES = [node for node in walk(root) if not isinstance(node.command, click.Group)]
# Endpoints and names refuse a password: what they are given is not taken, and nothing is done.
PAIRS = ("KEY=VALUE", "K=V")


def places(node: Node) -> Iterator[tuple[str, ...]]:
    """Words with a secret for each option and each argument that takes any text."""
    params = node.command.get_params(node.context)
    for param in params:
        if isinstance(param, click.Option) and not (param.is_flag or param.count):
            if isinstance(param.type, click.Choice | click.types.IntParamType):
                continue
            for form in FORMS:
                yield (param.opts[-1], form)
        elif isinstance(param, click.Argument):
            for form in FORMS:
                yield (form,)


@pytest.mark.parametrize("node", LEAVES, ids=lambda node: node.path)
def test_no_option_or_argument_shows_it(node: Node) -> None:
    """As the history keeps the words of any command."""
    path = node.path.split()[1:]
    for words in places(node):
        kept = list(masked_words([*path, *words]))
        assert SECRET not in " ".join(kept), words
        assert kept[: len(path)] == path


@pytest.fixture
def journal(rdctl: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    directory = rdctl.root / "run/systemd/journal"
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taken:
        with monkeypatch.context() as patch:
            patch.chdir(directory)
            taken.bind("socket")
        taken.setblocking(False)
        yield taken


BODY = f'{{"properties": {{"password": "{SECRET}", "note": "it\'s"}}}}'
# In the sandbox, where all of them change something.
CHANGING = {
    "property": ("container", "create", "docs", "-p", f"password={SECRET}"),
    "properties": ("container", "set-properties", "photos", f"api_key={SECRET}", "a=b"),
    "unprintable": ("container", "set-properties", "photos", f"token={SECRET}\n\u0007", "a=\u2028"),
    "of a content": ("content", "set-properties", "photos", "index.txt", f"my-secret={SECRET}"),
    "of a database": ("admin", "set-properties", "photos", f"secret={SECRET}"),
    "system": ("container", "create", "docs", "--system", f"sys.password={SECRET}"),
    "tag": ("conscience", "register", "rawx", "127.0.0.1:7", "--tag", f"tag.token={SECRET}"),
    "link": ("reference", "force", "photos", "sqlx", "127.0.0.1:7", "--args", f"password={SECRET}"),
    "header": (
        *("api", "POST", "container/create", "--param", "acct=sandbox", "--param", "ref=docs"),
        *("--header", f"X-Auth-Token={SECRET}", "--header", f"Authorization=Bearer {SECRET}"),
    ),
    "parameter": (
        *("api", "POST", "container/create", "--param", "acct=sandbox", "--param", "ref=docs"),
        *("--param", f"password={SECRET}"),
    ),
    "body": (
        *("api", "POST", "container/set_properties", "--param", "acct=sandbox"),
        *("--param", "ref=photos", "--body", "-"),
    ),
}


@pytest.mark.parametrize("words", CHANGING.values(), ids=CHANGING)
@pytest.mark.parametrize("context", ["sandbox", "away"])
def test_a_change_with_a_secret(
    rdctl: Program, journal: socket.socket, words: tuple[str, ...], context: str
) -> None:
    history = rdctl.home / "sandbox.db-history.ndjson"
    if context == "away":
        # Nothing listens there: the intent and the error are kept.
        url = ("oio=http://127.0.0.1:9", "namespace=OPENIO", "account=sandbox", "dialect=4.2")
        proxy = f"http_proxy=http://ada:{SECRET}@127.0.0.1:9"
        rdctl("context", "set", "away", *url, proxy)
        history = rdctl.home / "mine"
    env = {"RDCTL_HISTORY": str(history)} if context == "away" else {}
    for options in ((), ("--dry-run", "--trace"), ("--trace",), ("--json",)):
        ran = rdctl("-c", context, "oio", *words, *options, "--yes", env=env, stdin=BODY.encode())
        assert SECRET not in ran.err, options
        assert "--dry-run" not in options or SECRET not in ran.out
    # Some verbs read first, which fails where nothing listens.
    kept = history.read_text() if history.exists() or context == "sandbox" else "***"
    assert (SECRET in kept, "***" in kept) == (False, True)
    with suppress(BlockingIOError):
        while data := journal.recv(1 << 20):
            assert SECRET.encode() not in data


@pytest.mark.skipif(os.geteuid() != 0, reason="root has a place of its own")
def test_the_settings_of_a_context(rdctl: Program, journal: socket.socket, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    words = ("http_proxy=http://ada:" + SECRET + "@127.0.0.1:9", f"token_file={token}")
    ran = rdctl("context", "set", "lab", *words, "oio=http://127.0.0.1:9", "namespace=N", "--trace")
    assert (ran.code, SECRET in ran.err) == (0, False)
    rdctl("-c", "lab", "oio", "container", "create", "docs", "--account", "me", "--trace")
    kept = (rdctl.root / "var/log/rdctl/history.ndjson").read_text()
    assert SECRET not in kept
    assert f"token_file={token}" in kept
    assert SECRET.encode() not in journal.recv(1 << 20)


@pytest.mark.skipif(os.geteuid() != 0, reason="root has a place of its own")
def test_names_on_standard_input_bring_secrets_too(rdctl: Program) -> None:
    line = f'{{"name": "docs", "properties": {{"password": "{SECRET}"}}}}'
    words = ("-c", "sandbox", "oio", "container", "create", "-", "--ndjson", "--trace")
    ran = rdctl(*words, stdin=line.encode())
    assert (ran.code, SECRET in ran.err) == (0, False)
    assert SECRET not in (rdctl.home / "sandbox.db-history.ndjson").read_text()
    found = rdctl("-c", "sandbox", "oio", "container", "get-properties", "docs", "--json")
    assert SECRET in found.out  # it was set all the same
