"""What --trace shows: each line pasted into a real shell does what the program did, each request
is followed by what came of it, and no secret is shown."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from requests.utils import requote_uri

from rdctl.effects.door import Effects
from rdctl.net.messages import Access
from rdctl.net.transport import Transport
from rdctl.sandbox import OIO_HOST, RAPIDDISK_HOST, apps
from tests.conftest import Program, Ran
from tests.fakes import faults
from tests.fakes.faults import FaultServer, Request
from tests.fakes.served import serving
from tests.rapiddisk.acts import ACTS, arranged

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
SHELLS = [shell for shell in ("sh", "bash", "zsh") if shutil.which(shell)]
OK = faults.json({"status": "OK"})
NOTE = re.compile(
    r"# \d+ \S.*?, (\d+ bytes sent, \d+ received|\d+ bytes), \d+\.\d ms(, [A-Z]+ (?P<url>http://\S+))?"
)


def paste(line: str, shell: str = "sh") -> bytes:
    """Type the line into a shell, in a locale that knows nothing but ASCII; what it prints."""
    options = ["-f"] if shell == "zsh" else []
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        [shell, *options],
        check=False,
        input=line.encode() + b"\n",
        env=environ,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b""), line[:300]
    return done.stdout


# Requests ----------------------------------------------------------------------------------------

# Of these curl has its own; no server looks at them.
NOT_COMPARED = ("accept", "accept-encoding", "connection", "user-agent")


def essence(request: Request) -> tuple[str, str, dict[str, str], bytes]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    kept = {name: value for name, value in headers.items() if name not in NOT_COMPARED}
    # Within what a request is, urllib3 and curl escape alike; only not in the same letters.
    return request.method, requote_uri(request.path).upper(), kept, request.body


REQUESTS: dict[str, tuple[str, str, dict[str, str], bytes | None]] = {
    "nothing": ("POST", "/v1/x", {}, None),
    "put of nothing": ("PUT", "/v1/x", {}, b""),
    "delete": ("DELETE", "/v1/x", {}, None),
    "json": ("POST", "/x", {}, b'{"properties": {"it\'s": "$HOME `id` \\"x\\" \\\\ 100%"}}'),
    "no file": ("POST", "/x", {}, b"@/etc/passwd"),
    "no option": ("POST", "/x", {}, b"-d"),
    "no option, and not to be typed": ("POST", "/x", {}, b"-d\n"),
    "lines": ("POST", "/x", {}, b"a\r\nb\n\n"),
    "a blank": ("POST", "/x", {}, b" "),
    "unicode": ("POST", "/x", {}, "☃ ü \u202e".encode()),
    "what stands for no character": ("POST", "/x", {}, "\ufffd".encode()),
    "no unicode": ("POST", "/x", {}, b'{"name": "\xff\xfe"}'),
    "every byte": ("POST", "/x", {}, bytes(range(256))),
    "a nul": ("POST", "/x", {}, b"\0"),
    "percents": ("POST", "/x", {}, b"%s %d %%\n\\n"),
    "much": ("POST", "/x", {}, b"0123456789 '\\%" * 20_000),
    "much that cannot be typed": ("POST", "/x", {}, bytes(range(256)) * 2000),
    "headers": ("POST", "/x", {"X-Extra": 'it\'s "$HOME"', "Accept": "text/plain"}, b"x"),
    "a type": ("POST", "/x", {"Content-Type": "text/x"}, None),
    "dots": ("POST", "/a/../b/./c/%2E%2e/d?x=/../", {}, None),
    "patterns": ("POST", "/%5Ba-b%5D?x%5B%5D={1}", {}, None),
    "escapes": ("POST", "/a%20b%2Fc%FF?acct=a%26b&ref=%00%27%22", {}, None),
    "a quote": ("POST", "/it's?a=1&b=2;c", {}, None),
}


@needs_curl
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", REQUESTS)
def test_a_line_that_is_pasted_sends_the_same_request(name: str, shell: str) -> None:
    method, path, headers, body = REQUESTS[name]
    trace: list[str] = []
    with FaultServer([OK]) as server:
        client = Transport(server.url, Effects(ask=lambda losses: None, trace=trace.append))
        reply = client.change(
            path, method=method, headers=headers, body=body, what="do it", shows="rdctl"
        )
        line, _ = trace
        assert line.isprintable()  # as it is, on one line
        assert paste(line, shell) == reply.body
        ours, pasted = server.requests
    assert essence(pasted) == essence(ours)
    for asked, value in headers.items():
        assert (ours.headers[asked], pasted.headers[asked]) == (value, value)


def test_a_body_beyond_all_reading_is_not_in_the_line() -> None:
    trace: list[str] = []
    with FaultServer([OK]) as server:
        client = Transport(server.url, Effects(ask=lambda losses: None, trace=trace.append))
        client.change("/x", body=b"x" * 3_000_000, what="do it", shows="rdctl")
    assert len(trace[0]) < 300
    assert trace[0].endswith(f"--data-binary @- {server.url}/x  # 3000000 bytes on stdin")
    assert trace[1].startswith("# 200 OK, 3000000 bytes sent, 16 received, ")


@needs_curl
def test_the_way_through_a_proxy_is_the_same() -> None:
    trace: list[str] = []
    with FaultServer([OK]) as proxy:
        effects = Effects(ask=lambda losses: None, trace=trace.append)
        access = Access(http_proxy=proxy.url)
        Transport("http://storage.test:9118", effects, access=access).read("/v1/x")
        paste(trace[0])
        ours, pasted = proxy.requests
    assert ours.path == pasted.path == "http://storage.test:9118/v1/x"


def test_certificates_are_in_the_line() -> None:
    access = Access(ca="/etc/my ca.pem", cert="c.pem", key="k.pem")
    effects = Effects(ask=lambda losses: None, dry_run=True)
    Transport("https://h", effects, access=access).change("/x", what="", shows="")
    assert "--cacert '/etc/my ca.pem' --cert c.pem --key k.pem" in effects.plan[0]


# Whole commands ----------------------------------------------------------------------------------


class System:
    """A sandbox of its own, served over TCP, and the program that uses it."""

    def __init__(self, home: Path, urls: dict[str, str]) -> None:
        self.home = home
        self.urls = urls
        self.rdctl = Program(home)

    def __call__(self, *words: str, **options: Any) -> Ran:
        where = ("--rapiddisk-url", self.urls[RAPIDDISK_HOST], "--oio-url", self.urls[OIO_HOST])
        account = ("--namespace", "OPENIO", "--account", "sandbox")
        return self.rdctl(*where, *account, *words, **options)


@contextmanager
def served(home: Path) -> Iterator[System]:
    home.mkdir()
    both = apps(home / "sandbox.db")
    hosts = (RAPIDDISK_HOST, OIO_HOST)
    with serving(*(both[host] for host in hosts)) as urls:
        yield System(home, dict(zip(hosts, urls, strict=True)))


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[System, System]]:
    """Two systems that are alike."""
    with served(tmp_path / "one") as one, served(tmp_path / "other") as other:
        yield one, other


ODD = "it's\n @ ☃\u202e 100%"
PROPERTIES = ('it\'s "quoted"=$HOME\n\\', "@=@/etc/passwd", "blank= ", "☃=\u202e")
COMMANDS: dict[str, tuple[tuple[str, ...], bytes, tuple[str, ...]]] = {
    "create a volume": (
        ("rapiddisk", "create", "64M", "--count", "2"),
        b"",
        ("rapiddisk", "list", "--json"),
    ),
    "lock a volume": (("rapiddisk", "lock", "rd0"), b"", ("rapiddisk", "list", "--json")),
    "create a container": (
        ("oio", "container", "create", ODD),
        b"",
        ("oio", "container", "show", ODD, "-0"),
    ),
    "create several": (
        ("oio", "container", "create", ODD, "@", "a b"),
        b"",
        ("oio", "container", "show", ODD, "@", "a b", "-0"),
    ),
    "set properties": (
        ("oio", "container", "set-properties", "photos", *PROPERTIES),
        b"",
        ("oio", "container", "get-properties", "photos", "--json", "--query", "properties"),
    ),
    "delete properties": (
        ("oio", "content", "del-properties", "photos", "sea/storm.svg", "--all", "--yes"),
        b"",
        ("oio", "content", "get-properties", "photos", "sea/storm.svg", "--json"),
    ),
    "delete several": (
        ("oio", "content", "delete", "photos", "-", "--yes"),
        b"index.txt\0sea/storm.svg\0",
        ("oio", "content", "list", "photos", "-0"),
    ),
    "empty a container": (
        ("oio", "container", "flush", "photos", "--yes"),
        b"",
        ("oio", "content", "list", "photos", "-0"),
    ),
    "any request": (
        (
            *("oio", "api", "POST", "container/set_properties", "--param", "acct=sandbox"),
            *("--param", "ref=photos", "--body", "-", "--yes"),
        ),
        json.dumps({"properties": {"a\nb": "@\t☃"}}, indent=2).encode(),
        ("oio", "container", "get-properties", "photos", "--json", "--query", "properties"),
    ),
}


@needs_curl
@pytest.mark.parametrize("name", COMMANDS)
def test_the_lines_of_a_run_do_what_it_did(twins: tuple[System, System], name: str) -> None:
    words, stdin, shows = COMMANDS[name]
    one, other = twins
    before = one(*shows).stdout
    ran = one(*words, "--trace", stdin=stdin)
    assert ran.code == 0, ran.err
    for line in ran.err.splitlines():
        if not line.startswith("#"):
            for host, url in one.urls.items():
                line = line.replace(url, other.urls[host])
            paste(line)
    after = one(*shows).stdout
    assert other(*shows).stdout == after != before


@needs_curl
def test_what_a_question_is_answered(twins: tuple[System, System]) -> None:
    """The reply is shown by curl as the program had it."""
    one, _ = twins
    api = ("oio", "api", "GET", "conscience/info")
    ran = one(*api, "--trace")
    (line, note) = ran.err.splitlines()
    assert paste(line) == ran.stdout
    assert note.startswith(f"# 200 OK, {len(ran.stdout)} bytes, ")


# What came of it ---------------------------------------------------------------------------------


def test_each_request_is_followed_by_what_came_of_it(twins: tuple[System, System]) -> None:
    one, _ = twins
    for words in (
        ("rapiddisk", "create", "1M", "--count", "3"),
        ("oio", "container", "create", "a", "b", "-p", "k=v"),
        ("oio", "container", "show", "a", "nope", "b"),
        ("oio", "container", "list", "photos"),
    ):
        lines = one(*words, "--trace", "--parallel", "1").err.splitlines()
        lines = [line for line in lines if line.startswith(("curl ", "#"))]
        assert lines[::2] == [line for line in lines if line.startswith("curl ")]
        assert all(NOTE.fullmatch(line) for line in lines[1::2])


def test_of_many_at_a_time_each_tells_what_it_belongs_to(twins: tuple[System, System]) -> None:
    one, _ = twins
    names = [f"c{number}" for number in range(40)]
    trace = one("oio", "container", "show", *names, "--trace", "--parallel", "8").err
    lines = [line for line in trace.splitlines() if line.startswith(("curl ", "#"))]
    open_ones: list[str] = []
    for line in lines:
        url = shlex.split(line)[-1]
        note = NOTE.fullmatch(line)
        if note is None:
            open_ones.append(url)
        else:
            open_ones.remove(note["url"] or open_ones[-1])
    assert len(lines) == 80
    assert open_ones == []


def test_a_request_without_a_reply_is_told_of(tmp_path: Path) -> None:
    rdctl = Program(tmp_path)
    with FaultServer([faults.reset_unread()]) as server:
        where = ("--rapiddisk-url", server.url)
        ran = rdctl(*where, "rapiddisk", "list", "--trace", "--retries", "1")
    curl, failed, again, curl_again, failed_again, *_ = ran.err.splitlines()
    assert curl == curl_again == f"curl -sS -X GET -H Expect: {server.url}/v1/listRapidDiskVolumes"
    assert again.startswith("# retrying in ")
    for line in (failed, failed_again):
        assert re.fullmatch(r"# failed: [A-Z][a-z ]+, \d+\.\d ms", line)
    ran = rdctl(*where, "rapiddisk", "list", "--trace", "--retries", "0")
    assert "\n# failed: Connection refused, " in ran.err


# Secrets -----------------------------------------------------------------------------------------

CONTEXT = """
[contexts.live]
rapiddisk = "http://storage.test:9118"
oio = "http://proxy.test:6002"
namespace = "NS"
account = "me"
token_file = "token"
http_proxy = "http://me:pr0xy-pass@{proxy}"
"""
SECRETS = ("t0ken", "pr0xy-pass", "typed-pass")


@pytest.mark.parametrize(
    "behaviour",
    [
        OK,
        faults.http_error(407),
        faults.http_error(401),
        faults.http_error(502),
        faults.close(),
        faults.garbage(b"t0 \r\n"),
    ],
    ids=["ok", "407", "401", "502", "closed", "garbage"],
)
def test_no_secret_is_shown(
    rdctl: Program, monkeypatch: pytest.MonkeyPatch, behaviour: faults.Behaviour
) -> None:
    monkeypatch.chdir(rdctl.home)
    (rdctl.home / "token").write_text("t0ken\n")
    typed = ("--header", "authorization=Basic typed-pass", "--header", "X-Auth-Token=typed-pass")
    with FaultServer([behaviour]) as proxy:
        rdctl.config.write_text(CONTEXT.format(proxy=proxy.url.removeprefix("http://")))
        for words in (
            ("rapiddisk", "list"),
            ("oio", "container", "create", "x"),
            ("oio", "api", "POST", "container/touch", *typed, "--yes"),
            ("oio", "api", "POST", "container/touch", *typed),
            ("context", "show"),
            ("context", "list"),
            ("context", "set", "live", "http_proxy=http://me:typed-pass@other:1"),
        ):
            for more in ((), ("--dry-run",), ("--json",), ("--dry-run", "-o", "yaml")):
                ran = rdctl("-c", "live", *words, *more, "--trace", "--retries", "0")
                shown = ran.out + ran.err
                assert not [secret for secret in SECRETS if secret in shown], shown
                if "--dry-run" in more and "POST" in words:
                    assert "authorization: Basic ***" in shown
                    assert "X-Auth-Token: ***" in shown
                    assert "http://me:***@" in shown
        sent = [request.headers for request in proxy.requests]
        if behaviour is OK:
            assert {headers["Authorization"] for headers in sent} == {
                "Bearer t0ken",
                "Basic typed-pass",
            }


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:typed-pass@h",
        "me:typed-pass@h",
        "http://me:typed/pass@h",
        "http://me:x@typed-pass@h",
        "http://me:typed-pass@h:99999",
    ],
)
def test_an_address_that_is_refused_is_not_shown_with_its_password(
    rdctl: Program, url: str
) -> None:
    for words in (
        ("context", "set", "live", f"http_proxy={url}"),
        ("context", "set", "live", f"rapiddisk={url}"),
        ("--rapiddisk-url", url, "rapiddisk", "list"),
        ("--oio-url", url, "oio", "local", "list"),
    ):
        ran = rdctl(*words, "--json", env={"RDCTL_HTTP_PROXY": url})
        assert ran.code == 2
        assert "typed" not in ran.out + ran.err


# The kernel --------------------------------------------------------------------------------------

PASTED = ("export", "export to any host", "port add", "port add loop")


def tree(root: Path) -> dict[str, str]:
    """What lies below NVMe-oF's part of the kernel: files with their texts, directories, links."""
    found = {}
    for path in sorted((root / "sys/kernel/config/nvmet").rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = str(path.resolve().relative_to(root.resolve()))
        elif path.is_file():
            found[str(path.relative_to(root))] = path.read_text().strip()
        else:
            found[str(path.relative_to(root))] = "directory"
    return found


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", PASTED)
def test_the_lines_of_a_kernel_can_be_pasted(rdctl: Program, name: str, shell: str) -> None:
    """On a copy of the tree, which is no kernel: it lacks what that makes by itself."""
    kernel = arranged(rdctl, rdctl.home / "root", ACTS[name])
    copy = rdctl.home / "copy"
    shutil.copytree(kernel.root, copy, symlinks=True)
    before = tree(kernel.root)
    ran = rdctl("--local", "rapiddisk", *ACTS[name].words.split(), "--trace")
    assert ran.code == 0, ran.err
    for line in ran.err.replace(str(kernel.root), str(copy)).splitlines():
        if line.startswith("#"):
            continue  # what was asked
        # configfs makes directories within a new directory; elsewhere they have to be made.
        os.makedirs(os.path.dirname(shlex.split(line)[-1]), exist_ok=True)
        paste(line, shell)
    done, pasted = tree(kernel.root), tree(copy)
    made = {path: text for path, text in pasted.items() if before.get(path) != text}
    assert made.items() <= done.items()
    assert len(made) >= ACTS[name].steps
