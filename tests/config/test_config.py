"""Where settings come from, and a file that is edited without losing anything."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdctl.config.contexts import KEYS, Config, parse, unusable_url
from rdctl.config.edit import edited, without
from rdctl.config.resolve import Settings, resolve
from rdctl.core.errors import Code, RdctlError
from tests.conftest import Program, Ran

LAB = """\
[contexts.lab]
rapiddisk = "http://lab:9118"
timeout = 60
"""


class House:
    """A machine with a configuration of its own, one of its user, and variables."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user = directory / "home" / ".config" / "rdctl" / "config.toml"
        self.system = directory / "root" / "etc" / "rdctl" / "config.toml"
        for path in (self.user, self.system):
            path.parent.mkdir(parents=True)

    def config(self, env: Mapping[str, str] | None = None) -> Config:
        return Config(env or {}, str(self.directory / "root"), str(self.directory / "home"))

    def resolve(self, env: Mapping[str, str] | None = None, **flags: Any) -> Settings:
        return resolve(self.config(env), flags)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def fails(act: Callable[[], object], code: Code) -> RdctlError:
    with pytest.raises(RdctlError) as caught:
        act()
    assert caught.value.code is code
    return caught.value


# --- where a setting comes from ----------------------------------------------------------------


def test_each_source_gives_way_to_the_one_before_it(house: House) -> None:
    house.user.write_text(f'current = "lab"\n{LAB}')
    env = {"RDCTL_RAPIDDISK_URL": "http://variable:1"}
    layers: list[tuple[dict[str, Any], dict[str, str], str, str]] = [
        ({"rapiddisk_url": "http://flag:1"}, env, "http://flag:1", "--rapiddisk-url"),
        ({"local": True}, env, "local", "--local"),
        ({"context": "lab"}, env, "http://lab:9118", "context lab (-c)"),
        ({}, {**env, "RDCTL_CONTEXT": "lab"}, "http://lab:9118", "context lab (RDCTL_CONTEXT)"),
        ({}, env, "http://variable:1", "RDCTL_RAPIDDISK_URL"),
        ({}, {}, "http://lab:9118", "context lab (current)"),
    ]
    for flags, variables, value, origin in layers:
        found = house.resolve(variables, **flags).values["rapiddisk"]
        assert (found.value, found.origin) == (value, origin)
    house.user.write_text(LAB)
    assert house.resolve().values["rapiddisk"][:2] == ("local", "default")


@pytest.mark.parametrize(
    ("key", "first", "then"),
    [
        ("oio", "RDCTL_OIO_URL", "OIO_PROXYD_URL"),
        ("namespace", "RDCTL_NAMESPACE", "OIO_NS"),
        ("account", "RDCTL_ACCOUNT", "OIO_ACCOUNT"),
    ],
)
def test_our_variables_come_before_those_of_openio(
    house: House, key: str, first: str, then: str
) -> None:
    one, two = "http://one", "http://two"
    assert house.resolve({first: one, then: two}).values[key][:2] == (one, first)
    assert house.resolve({then: two}).values[key][:2] == (two, then)
    assert house.resolve({first: "", then: two}).values[key][:2] == (two, then)


VARIABLES = {
    "RDCTL_RAPIDDISK_URL": "http://variable:1",
    "RDCTL_OIO_URL": "http://variable:2",
    "OIO_PROXYD_URL": "http://variable:3",
    "RDCTL_NAMESPACE": "NS",
    "OIO_NS": "NS",
    "RDCTL_ACCOUNT": "me",
    "OIO_ACCOUNT": "me",
    "RDCTL_TOKEN_FILE": "/token",
    "RDCTL_CERT": "/cert",
    "RDCTL_KEY": "/key",
    "RDCTL_CA": "/ca",
    "RDCTL_HTTP_PROXY": "http://proxy",
    "RDCTL_DIALECT": "3.3",
}


@pytest.mark.parametrize(
    "variables", [VARIABLES, dict.fromkeys(VARIABLES, "not good for anything")]
)
@pytest.mark.parametrize("how", ["flag", "variable"])
def test_a_named_context_is_taken_whole(house: House, how: str, variables: dict[str, str]) -> None:
    house.user.write_text(f'current = "other"\n[contexts.other]\naccount = "x"\n{LAB}')
    flags = {"context": "lab"} if how == "flag" else {}
    env = variables if how == "flag" else {**variables, "RDCTL_CONTEXT": "lab"}
    found = house.resolve(env, **flags)
    assert {key: s.value for key, s in found.values.items()} == {
        "rapiddisk": "http://lab:9118",
        "timeout": 60.0,
    }
    assert (found.context, found.explicit) == ("lab", how == "flag")


def test_flags_come_before_the_named_context_key_by_key(house: House) -> None:
    house.user.write_text(LAB)
    found = house.resolve(context="lab", timeout=5.0, account="me")
    assert {key: s.value for key, s in found.values.items()} == {
        "rapiddisk": "http://lab:9118",
        "timeout": 5.0,
        "account": "me",
    }


def test_the_timeout_of_a_variable_holds_where_a_named_context_has_none(house: House) -> None:
    house.user.write_text(LAB + '[contexts.bare]\naccount = "me"\n')
    env = {"RDCTL_TIMEOUT": "5"}
    assert house.resolve(env, context="lab").get("timeout") == 60
    assert house.resolve(env, context="bare").get("timeout") == 5
    assert house.resolve(env, context="bare").get("rapiddisk") is None


def test_the_user_comes_before_the_machine(house: House) -> None:
    house.system.write_text(f'current = "lab"\n{LAB}[contexts.all]\naccount = "machine"\n')
    assert house.resolve().context == "lab"
    house.user.write_text('current = "all"\n[contexts.lab]\nrapiddisk = "local"\n')
    config = house.config()
    assert resolve(config, {}).get("account") == "machine"
    assert (config.contexts["lab"].values, config.contexts["lab"].file) == (
        {"rapiddisk": "local"},
        str(house.user),
    )
    assert config.contexts["all"].file == str(house.system)


def test_where_the_users_file_is(house: House, tmp_path: Path) -> None:
    assert house.config().path == str(house.user)
    assert house.config({"XDG_CONFIG_HOME": "/x"}).path == "/x/rdctl/config.toml"
    assert house.config({"XDG_CONFIG_HOME": "/x", "RDCTL_CONFIG": "/y"}).path == "/y"
    assert house.config({"RDCTL_CONFIG": str(tmp_path / "none")}).contexts.keys() == {"sandbox"}


def test_an_unknown_context_is_not_found_with_a_suggestion(house: House) -> None:
    house.user.write_text(LAB)
    error = fails(lambda: house.resolve(context="lap"), Code.NOT_FOUND)
    assert error.message == 'context "lap" not found; did you mean "lab"?'
    fails(lambda: house.resolve({"RDCTL_CONTEXT": "lap"}), Code.NOT_FOUND)


def test_a_current_context_that_is_gone_is_a_fault_of_the_file(house: House) -> None:
    house.user.write_text(f'current = "gone"\n{LAB}')
    # Not exit 3, which would say that the volume asked for does not exist.
    error = fails(house.resolve, Code.CONFIG)
    assert '"gone" not found' in error.message
    assert (error.hint or "").startswith("Existing contexts: lab, sandbox.\n")
    assert house.resolve(context="lab").context == "lab"


# --- the sandbox -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flag", [{"local": True}, {"rapiddisk_url": "http://x:1"}, {"oio_url": "http://x:1"}]
)
def test_no_endpoint_stands_beside_the_named_sandbox(house: House, flag: dict[str, Any]) -> None:
    fails(lambda: house.resolve(context="sandbox", **flag), Code.USAGE)
    fails(lambda: house.resolve({"RDCTL_CONTEXT": "sandbox"}, **flag), Code.USAGE)


def test_the_current_sandbox_is_whole_or_not_at_all(house: House) -> None:
    house.user.write_text('current = "sandbox"\n')
    found = house.resolve(VARIABLES)
    assert found.context == "sandbox"
    assert found.get("oio") == "http://oio.sandbox"
    assert found.get("rapiddisk") == "simulated"
    assert not found.explicit
    assert found.in_sandbox("oio")
    assert found.in_sandbox("rapiddisk")


@pytest.mark.parametrize(
    ("flag", "typed", "other"),
    [
        ({"rapiddisk_url": "http://x:1"}, "rapiddisk", "oio"),
        ({"local": True}, "rapiddisk", "oio"),
        ({"oio_url": "http://x:1"}, "oio", "rapiddisk"),
    ],
)
def test_what_is_typed_beside_the_current_sandbox_leaves_the_other_endpoint_there(
    house: House, flag: dict[str, Any], typed: str, other: str
) -> None:
    house.user.write_text('current = "sandbox"\n')
    found = house.resolve(VARIABLES, **flag)
    assert found.context is None
    assert (found.in_sandbox(typed), found.in_sandbox(other)) == (False, True)
    assert (found.says_where(typed), found.says_where(other)) == (True, False)
    assert found.get(other) == {"rapiddisk": "simulated", "oio": "http://oio.sandbox"}[other]
    # The namespace belongs to OpenIO's endpoint.
    namespace = VARIABLES["OIO_NS"] if typed == "oio" else "OPENIO"
    assert found.get("namespace") == namespace
    both = house.resolve(rapiddisk_url="http://x:1", oio_url="http://x:2")
    assert not both.in_sandbox("oio")
    assert not both.in_sandbox("rapiddisk")


# --- credentials -------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["token_file", "cert", "key"])
def test_a_credential_goes_only_where_its_own_source_sends_it(house: House, key: str) -> None:
    lab = f'{LAB}{key} = "/secret"\n[contexts.bare]\nrapiddisk = "http://bare:1"\n'
    variable = {f"RDCTL_{key.upper()}": "/secret"}
    url = {"RDCTL_RAPIDDISK_URL": "http://variable:1"}
    cases: list[tuple[str, dict[str, str], dict[str, Any], bool]] = [
        ("", {}, {"context": "lab"}, True),
        ("", {}, {"context": "lab", "rapiddisk_url": "http://flag:1"}, False),
        ("", {}, {"context": "lab", "local": True}, False),
        ("", variable, {"context": "bare"}, False),
        ("", {**variable, **url}, {}, True),
        ("", variable, {"rapiddisk_url": "http://flag:1"}, False),
        ("lab", {}, {}, True),
        ("lab", url, {}, False),
        ("lab", {**url, **variable}, {}, True),
        ("bare", variable, {}, False),
    ]
    for current, env, flags, goes in cases:
        house.user.write_text((f'current = "{current}"\n' if current else "") + lab)
        secret = house.resolve(env, **flags).credential(key, "rapiddisk")
        assert secret == ("/secret" if goes else None), (current, env, flags)


def test_files_below_the_home_directory(house: House) -> None:
    files = 'token_file = "~/token"\nca = "/etc/ca"\nkey = "~x/key"\naccount = "~/me"\n'
    house.user.write_text(LAB + files)
    found = house.resolve(context="lab")
    assert found.get("token_file") == str(house.directory / "home" / "token")
    assert (found.get("ca"), found.get("key")) == ("/etc/ca", "~x/key")
    assert found.get("account") == "~/me"


# --- what is wrong with a file -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('curent = "lab"', 1, 'unknown key "curent"'),
        ('\n\n[contexts.lab]\nrapidisk = "x"', 4, 'unknown key "rapidisk"'),
        ('[contexts]\nlab = { account = "a", rapidisk = "x" }', 2, 'unknown key "rapidisk"'),
        ('# c\ncontexts.lab.rapidisk = "x"', 2, 'unknown key "rapidisk"'),
        ('[contexts."lab"]\n  "rapidisk" = "x"', 2, 'unknown key "rapidisk"'),
        ("[contexts.lab]\n[contexts.lab.more]\nx = 1", 2, 'unknown key "more"'),
        (
            "[contexts.a]\ntimeout = 5\n[contexts.b]\ntimeout = 0",
            4,
            "timeout: must be a positive",
        ),
        (
            "[contexts.a]\ntimeout = 5\n[contexts.b]\n# timeout = 5\ntimeout = nan",
            5,
            "timeout: must be a positive",
        ),
        ("[contexts.a]\ntimeout = inf", 2, "timeout: must be a positive"),
        ("[contexts.a]\ntimeout = true", 2, "timeout: must be a positive"),
        ('[contexts.a]\ntimeout = "5"', 2, "timeout: must be a positive"),
        ('[contexts.a]\nprotected = "yes"', 2, "protected: must be true or false"),
        ("[contexts.a]\naccount = 5", 2, "account: must be a string"),
        ('[contexts.a]\naccount = """\na\n"""\noio = "x"', 5, 'oio: invalid URL "x"'),
        ('[contexts.a]\noio = "local"', 2, 'oio: invalid URL "local"'),
        ('[contexts.a]\nrapiddisk = "host:9118"', 2, 'rapiddisk: invalid URL "host:9118"'),
        ('[contexts.a]\nhttp_proxy = "proxy:3128"', 2, "http_proxy: invalid URL"),
        (
            '[contexts.a]\ndialect = "6"',
            2,
            "dialect: must be auto, 3.3, 4.2, 5, 7, 2025 or reference",
        ),
        ("current = 5", 1, "current must be a string"),
        ("contexts = 5", 1, "contexts must be a table"),
        ("\n[[contexts]]", 2, "contexts must be a table"),
        ("[contexts]\nlab = 5", 2, "contexts.lab must be a table"),
        ("[contexts.sandbox]", 1, 'context "sandbox": it is built in'),
        ('\n[contexts."a b"]', 2, 'invalid context name "a b"'),
        ('[contexts.a]\n\n[contexts."\\u001b"]', 3, "invalid context name"),
    ],
)
def test_a_fault_in_the_file_is_told_with_its_line(
    house: House, text: str, line: int, words: str
) -> None:
    house.user.write_text(text + "\n")
    error = fails(house.config, Code.CONFIG)
    assert error.message.startswith(f"{house.user}, line {line}: ")
    assert words in error.message


def test_a_near_miss_gets_a_suggestion(house: House) -> None:
    house.user.write_text('[contexts.lab]\nrapidisk = "x"\n')
    error = fails(house.config, Code.CONFIG)
    assert error.message.endswith('unknown key "rapidisk"; did you mean "rapiddisk"?')


@pytest.mark.parametrize("text", ["[contexts.lab", "a = ", 'x = "\x01"', "a = 1\na = 2"])
def test_what_is_no_toml_is_told(house: House, text: str) -> None:
    house.user.write_text(text)
    error = fails(house.config, Code.CONFIG)
    assert re.match(rf"{house.user}(, line \d, column \d+)?: invalid TOML: [a-z]", error.message)
    assert ", line" in error.message or "at end of document" in error.message


@pytest.mark.parametrize("spoil", ["directory", "bytes", "loop"])
def test_a_file_that_cannot_be_read_is_told(house: House, spoil: str) -> None:
    if spoil == "directory":
        house.user.mkdir()
    elif spoil == "bytes":
        house.user.write_bytes(b"\xff\xfe")
    else:
        house.user.symlink_to(house.user.name)
    error = fails(house.config, Code.CONFIG)
    assert str(house.user) in error.message


@pytest.mark.parametrize(
    ("env", "flags", "code"),
    [
        ({"RDCTL_TIMEOUT": "soon"}, {}, Code.CONFIG),
        ({"RDCTL_TIMEOUT": "-1"}, {}, Code.CONFIG),
        ({"RDCTL_RAPIDDISK_URL": "host"}, {}, Code.CONFIG),
        ({"RDCTL_DIALECT": "6"}, {}, Code.CONFIG),
        ({"RDCTL_HTTP_PROXY": "http://me:secret@"}, {}, Code.CONFIG),
        ({}, {"timeout": 0.0}, Code.USAGE),
        ({}, {"timeout": float("nan")}, Code.USAGE),
        ({}, {"rapiddisk_url": "ftp://h"}, Code.USAGE),
        ({}, {"rapiddisk_url": "http://h:1", "local": True}, Code.USAGE),
    ],
)
def test_a_bad_value_is_told_by_the_name_of_its_source(
    house: House, env: dict[str, str], flags: dict[str, Any], code: Code
) -> None:
    error = fails(lambda: house.resolve(env, **flags), code)
    name = next(iter(env), None) or "--" + next(iter(flags)).replace("_", "-")
    assert name in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize(
    "url",
    ["http://h", "https://h:1/a/b", "http://[::1]:9118", "http://127.0.0.1:65535", "HTTP://h"],
)
def test_what_can_be_an_endpoint(url: str) -> None:
    assert unusable_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "h", "h:1", "//h", "ftp://h", "http://", "http://:1", "http:///x", "http://h:0"),
        *("http://h:65536", "http://h:x", "http://[::1", "http://h?q", "http://h#f", "http://u@h"),
        *("http://h\n", "http://h /", "http://h/\x1b", "http://u:p@h", "http://h/\udcff"),
    ],
)
def test_what_cannot(url: str) -> None:
    assert unusable_url(url)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_file_or_a_fault_that_is_told(text: str) -> None:
    try:
        assert isinstance(parse(text, "file"), dict)
    except RdctlError as error:
        assert error.code is Code.CONFIG  # noqa: PT017 - either is right


# --- editing -----------------------------------------------------------------------------------

FILE = """\
# My systems

current = "lab"  # the one at hand

# The lab, which
# may be broken.
[contexts.lab]
rapiddisk = "http://lab:9118"
timeout = 60 # "seconds" # really
# of the team
account = "a # b"

# Not to be played with
[contexts."big.one"]   # production
protected = true
# end
"""


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        ({"current": "big.one"}, 'current = "lab" ', 'current = "big.one" '),
        ({"name": "lab", "values": [("timeout", 5.0)]}, "timeout = 60 #", "timeout = 5 #"),
        ({"name": "lab", "values": [("account", "c")]}, '"a # b"\n', '"c"\n'),
        (
            {"name": "lab", "values": [("namespace", "NS")]},
            '"a # b"\n',
            '"a # b"\nnamespace = "NS"\n',
        ),
        ({"name": "lab", "values": [("account", None)]}, 'account = "a # b"\n', ""),
        ({"name": "big.one", "values": [("protected", False)]}, "= true", "= false"),
        (
            {"name": "big.one", "values": [("oio", "http://o")]},
            "true\n",
            'true\noio = "http://o"\n',
        ),
        (
            {"name": "new", "values": [("account", "x")]},
            "# end\n",
            '# end\n\n[contexts.new]\naccount = "x"\n',
        ),
        (
            {"name": "n.w", "values": [("account", 'q"\\\x7f\n')]},
            "# end\n",
            '# end\n\n[contexts."n.w"]\naccount = "q\\"\\\\\\u007f\\n"\n',
        ),
        ({"name": "lab", "values": [("timeout", 1234567.125)]}, "= 60", "= 1234567.125"),
        ({"name": "lab", "values": [("timeout", 1e-05)]}, "= 60", "= 1e-05"),
        ({"name": "lab", "values": [("timeout", None), ("timeout", 2.0)]}, "", ""),
    ],
)
def test_an_edit_changes_its_line_and_nothing_else(
    edit: dict[str, Any], before: str, after: str
) -> None:
    result = edited(FILE, "file", **edit)
    if before or after:
        assert result == FILE.replace(before, after, 1)
    else:
        assert tomllib.loads(result)["contexts"]["lab"]["timeout"] == 2


def test_the_first_setting_of_an_empty_file() -> None:
    assert edited("", "file", current="lab") == 'current = "lab"\n'
    assert edited("", "file", name="lab", values=[("protected", True)]) == (
        "[contexts.lab]\nprotected = true\n"
    )


def test_a_comment_above_a_header_stays_with_it() -> None:
    assert edited("# The lab\n[contexts.lab]\n", "file", current="lab") == (
        'current = "lab"\n# The lab\n[contexts.lab]\n'
    )
    text = "[contexts.a]\noio = 'http://a'\n# b\n[contexts.b]\n"
    assert without(text, "file", "a") == "# b\n[contexts.b]\n"


def test_a_context_goes_with_its_own_lines() -> None:
    assert without(FILE, "file", "big.one") == FILE[: FILE.index('[contexts."big')] + "# end\n"
    result = without(FILE, "file", "lab")
    assert tomllib.loads(result) == {"contexts": {"big.one": {"protected": True}}}
    assert "# Not to be played with\n[contexts" in result
    assert result.endswith("# end\n")


@pytest.mark.parametrize(
    "text",
    [
        '[contexts]\nlab = { account = "a" }\n',
        'contexts.lab.account = "a"\n',
        'contexts = { lab = { account = "a" } }\n',
        '[contexts.lab]\naccount = """\na\n"""\n',
        "[contexts.lab]\naccount = '''\n[contexts.lab]\n# b'''\n",
        '[contexts . lab]\naccount = "\\\\"\nnamespace = """\naccount = "x"\n"""\n',
    ],
)
def test_a_layout_that_cannot_be_edited_is_refused_or_kept(text: str) -> None:
    acts: list[Callable[[], str]] = [
        lambda: edited(text, "file", name="lab", values=[("account", "b")]),
        lambda: edited(text, "file", current="lab"),
        lambda: without(text, "file", "lab"),
    ]
    for act in acts:
        try:
            result = act()
        except RdctlError as error:
            assert error.message == (  # noqa: PT017 - either is right
                "cannot edit file: unsupported layout; nothing was changed"
            )
        else:
            assert tomllib.loads(result) != tomllib.loads(text)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "account": st.text(st.characters(codec="utf-8")),
    "namespace": st.sampled_from(["NS", "a # b", "[x]", '"', "'''", "\\"]),
    "timeout": st.floats(1e-3, 1e8, allow_subnormal=False),
    "protected": st.booleans(),
    "oio": st.sampled_from(["http://h:1", "https://[::1]/x"]),
}
NAMES = ["a", "b", "c.d", "e-f", "9"]
COMMENT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file of tables, in any order, with comments and blank lines wherever they may stand."""
    lines: list[str] = []

    def loose() -> None:
        for comment in draw(st.lists(st.none() | COMMENT, max_size=2)):
            lines.append("" if comment is None else f"#{comment}")

    def assign(plain: str) -> None:
        behind = draw(st.none() | COMMENT)
        lines.append(plain + ("" if behind is None else f" #{behind}"))

    names: list[str] = draw(st.lists(st.sampled_from(NAMES), unique=True))
    loose()
    if draw(st.booleans()) and names:
        assign(f'current = "{draw(st.sampled_from(names))}"')
    for name in names:
        loose()
        quoted = f'"{name}"' if "." in name else name
        lines.append(f"[contexts.{quoted}]")
        for key in draw(st.lists(st.sampled_from(list(VALUES)), unique=True)):
            loose()
            assign(edited("", "file", name="x", values=[(key, draw(VALUES[key]))]).split("\n")[1])
    loose()
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))


def comments(text: str) -> list[str]:
    return sorted(line for line in text.split("\n") if line.startswith("#"))


@settings(deadline=None)
@given(files(), st.sampled_from(NAMES), st.sampled_from(list(VALUES)), st.data())
def test_whatever_the_file_an_edit_does_what_it_should_and_loses_nothing(
    text: str, name: str, key: str, data: st.DataObject
) -> None:
    wanted = parse(text, "file")
    if data.draw(st.booleans()):
        wanted["current"] = name
        result = edited(text, "file", current=name)
        assert comments(result) == comments(text)
    else:
        value = data.draw(st.none() | VALUES[key])
        table = wanted.setdefault("contexts", {}).setdefault(name, {})
        table.pop(key, None)
        if value is not None:
            table[key] = value
        result = edited(text, "file", name=name, values=[(key, value)])
        assert comments(result) == comments(text)
    assert parse(result, "file") == wanted


@settings(deadline=None)
@given(files(), st.data())
def test_whatever_the_file_only_what_is_removed_goes(text: str, data: st.DataObject) -> None:
    wanted = parse(text, "file")
    if not wanted.get("contexts"):
        return
    name = data.draw(st.sampled_from(sorted(wanted["contexts"])))
    result = without(text, "file", name)
    del wanted["contexts"][name]
    if wanted.get("current") == name:
        del wanted["current"]
    assert {"contexts": {}, **parse(result, "file")} == wanted
    headers = [line for line in result.split("\n") if line.startswith("[")]
    assert len(headers) == len(wanted["contexts"])


# --- the commands ------------------------------------------------------------------------------


def changed(ran: Ran) -> bool | None:
    result: bool | None = ran.json["results"][0]["changed"]
    return result


def test_a_context_from_its_first_setting_to_its_end(rdctl: Program) -> None:
    made = rdctl("context", "set", "lab", "rapiddisk=http://127.0.0.1:9118", "timeout=5", "--json")
    assert (made.code, changed(made)) == (0, True)
    assert stat.S_IMODE(rdctl.config.stat().st_mode) == 0o600
    assert changed(rdctl("context", "set", "lab", "timeout=5", "--json")) is False
    assert changed(rdctl("context", "use", "lab", "--json")) is True
    assert changed(rdctl("context", "use", "lab", "--json")) is False
    rows = {row["name"]: row for row in rdctl("context", "list", "--json").json["items"]}
    assert {name: row["current"] for name, row in rows.items()} == {"lab": True, "sandbox": False}
    shown = {row["key"]: row for row in rdctl("context", "show", "--json").json["items"]}
    assert (shown["timeout"]["value"], shown["timeout"]["origin"]) == (5.0, "context lab (current)")
    assert shown["config"]["value"] == str(rdctl.config)
    assert rdctl("context", "set", "lab", "timeout=").code == 0
    assert rdctl("context", "remove", "lab").code == 0
    assert rdctl.config.read_text().strip() == ""
    assert rdctl("context", "remove", "lab").code == 3


def test_a_word_for_yes_is_one_only_where_yes_or_no_is_asked(rdctl: Program) -> None:
    assert rdctl("context", "set", "lab", "protected=Yes", "account=yes").code == 0
    assert rdctl.config.read_text() == '[contexts.lab]\nprotected = true\naccount = "yes"\n'


def test_show_tells_every_setting_with_its_origin(rdctl: Program) -> None:
    env = {"OIO_NS": "NS", "RDCTL_TIMEOUT": "5"}
    ran = rdctl("--account", "me", "context", "show", "--json", env=env)
    rows = {row["key"]: (row["value"], row["origin"]) for row in ran.json["items"]}
    assert rows.keys() == {"context", *KEYS, "config"}
    assert rows["account"] == ("me", "--account")
    assert rows["namespace"] == ("NS", "OIO_NS")
    assert rows["timeout"] == (5.0, "RDCTL_TIMEOUT")
    assert rows["rapiddisk"] == ("local", "default")
    assert rows["ca"] == (None, None)
    sandbox = rdctl("context", "show", "sandbox", "--json", env=env).json["items"]
    assert {r["value"] for r in sandbox if r["key"] == "namespace"} == {"OPENIO"}


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("set", "lab", "rapiddisk"), 2, "must be KEY=VALUE"),
        (("set", "lab", "rapidisk=http://h"), 2, 'did you mean "rapiddisk"?'),
        (("set", "lab", "rapiddisk=h:1"), 2, "invalid URL"),
        (("set", "lab", "timeout=0"), 2, "must be a positive number of seconds"),
        (("set", "lab", "timeout=soon"), 2, "timeout: "),
        (("set", "lab", "protected=maybe"), 2, "true or false"),
        (("set", "lab", "account=\udcff"), 2, "UTF-8"),
        (("set", "sandbox", "account=x"), 2, "built in"),
        (("set", "--", "-x", "account=x"), 2, "invalid context name"),
        (("set", "a b", "account=x"), 2, "invalid context name"),
        (("set", "lab"), 2, "KEY=VALUE"),
        (("use", "nowhere"), 3, 'context "nowhere" not found'),
        (("show", "nowhere"), 3, 'context "nowhere" not found'),
        (("remove", "nowhere"), 3, 'context "nowhere" not found'),
        (("remove", "sandbox"), 2, "built in"),
    ],
)
def test_a_command_that_cannot_be_done_writes_nothing(
    rdctl: Program, argv: tuple[str, ...], code: int, words: str
) -> None:
    ran = rdctl("context", "--json", *argv)
    assert ran.code == code
    assert ran.json["schema"] == "rdctl.error/1"
    assert words in ran.err
    assert not rdctl.config.exists()


def test_a_dry_run_writes_nothing_and_says_what_it_would(rdctl: Program) -> None:
    ran = rdctl("context", "set", "lab", "account=x", "--dry-run")
    assert (ran.code, ran.out) == (0, 'would create context "lab"\n')
    assert not rdctl.config.exists()
    traced = rdctl("context", "set", "lab", "account=x", "--trace")
    assert f"write {rdctl.config}\n" in traced.err


def test_a_config_behind_a_symlink_stays_behind_it(rdctl: Program) -> None:
    real = rdctl.home / "dotfiles" / "rdctl.toml"
    real.parent.mkdir()
    real.write_text(FILE)
    rdctl.config.symlink_to(real)
    assert rdctl("context", "use", "big.one").code == 0
    assert rdctl.config.is_symlink()
    assert real.read_text() == FILE.replace('"lab"  #', '"big.one"  #')


def test_a_context_of_the_machine_is_not_the_users_to_remove(rdctl: Program) -> None:
    system = rdctl.home / "root" / "etc" / "rdctl" / "config.toml"
    system.parent.mkdir(parents=True)
    system.write_text(LAB)
    ran = rdctl("context", "remove", "lab")
    assert ran.code == 5
    assert str(system) in ran.err
    assert system.read_text() == LAB


def test_a_directory_that_is_a_file_is_told(rdctl: Program) -> None:
    (rdctl.home / "file").write_text("")
    path = str(rdctl.home / "file" / "config.toml")
    ran = rdctl("context", "set", "lab", "account=x", env={"RDCTL_CONFIG": path})
    assert ran.code == 5
    assert path in ran.err


def test_a_fault_in_the_file_reaches_the_user(rdctl: Program) -> None:
    rdctl.config.write_text('[contexts.lab]\nrapidisk = "x"\n')
    for argv in (("rapiddisk", "list"), ("context", "list"), ("context", "use", "lab")):
        ran = rdctl(*argv)
        assert ran.code == 2
        assert ran.err == (
            f'rdctl: error: {rdctl.config}, line 2: unknown key "rapidisk"; '
            'did you mean "rapiddisk"?\n'
        )


def test_in_the_current_sandbox_variables_lead_nowhere_else(rdctl: Program) -> None:
    rdctl("context", "use", "sandbox")
    env = {"RDCTL_RAPIDDISK_URL": "http://127.0.0.1:1", "OIO_PROXYD_URL": "http://127.0.0.1:1"}
    assert rdctl("rapiddisk", "list", "-o", "name", env=env).out == "rd0\n"
    away = rdctl("--rapiddisk-url", "http://127.0.0.1:1", "--retries", "0", "rapiddisk", "list")
    assert away.code == 6


def test_a_number_longer_than_python_reads(rdctl: Program) -> None:
    rdctl.config.write_text('current = "a"\n[contexts.a]\ntimeout = ' + "9" * 5000 + "\n")
    ran = rdctl("context", "list")
    assert (ran.code, ran.err) == (
        2,
        f"rdctl: error: {rdctl.config}, line 3: a number has too many digits\n",
    )


def test_values_within_values_without_end(rdctl: Program) -> None:
    rdctl.config.write_text("a = " + "[" * 5000 + "]" * 5000)
    ran = rdctl("context", "list")
    assert (ran.code, ran.err) == (2, f"rdctl: error: {rdctl.config}: nested too deep\n")


def test_a_variable_longer_than_python_reads(rdctl: Program) -> None:
    ran = rdctl("-c", "sandbox", "rapiddisk", "list", env={"RDCTL_RETRIES": "9" * 5000})
    assert ran.code == 2
    assert ran.err.startswith("rdctl: error: invalid RDCTL_RETRIES")
