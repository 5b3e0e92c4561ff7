"""Lifecycle configurations: what is refused, what is warned of, and what passes."""

from __future__ import annotations

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.lifecycle import Configuration

DAYS = "<Expiration><Days>1</Days></Expiration>"


def rule(inner: str, filter: str = "<Filter/>", status: str = "Enabled") -> str:
    return f"<Rule>{filter}<Status>{status}</Status>{inner}</Rule>"


def document(*rules: str) -> str:
    return f"<LifecycleConfiguration>{''.join(rules)}</LifecycleConfiguration>"


def filtered(inner: str) -> str:
    return document(rule(DAYS, f"<Filter>{inner}</Filter>"))


def tag(key: str, value: str) -> str:
    return f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"


SOUND = {
    "recorded": document(
        f"<Rule><ID>r1</ID><Filter><Prefix>s</Prefix></Filter><Status>Enabled</Status>{DAYS}</Rule>"
    ),
    "a date": document(rule("<Expiration><Date>2030-01-31T00:00:00</Date></Expiration>")),
    "tags": filtered("<And><Prefix>a/</Prefix>" + tag("k", "v") + tag("l", "v") + "</And>"),
    "an empty prefix": filtered("<Prefix/>"),
    "versions": document(
        rule("<NoncurrentVersionExpiration><NoncurrentCount>2</NoncurrentCount>"
             "</NoncurrentVersionExpiration>")
    ),
    "a comment, and lines": document("<!-- c -->\n", rule(DAYS), "\n"),
    "two rules without filters": document(rule(DAYS), rule(DAYS)),
    "a declaration": '<?xml version="1.0"?>\n' + document(rule(DAYS)),
    "a byte order mark": "\ufeff" + document(rule(DAYS)) + "\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_what_can_be_set(name: str) -> None:
    found = Configuration(SOUND[name])
    assert found.text == SOUND[name].lstrip("\ufeff").strip()
    assert found.warnings == []
    assert found.is_about_versions == (name == "versions")


def transition(inner: str) -> str:
    return document(rule(f"<Transition>{inner}<StorageClass>EC</StorageClass></Transition>"))


WARNED = {
    document(rule(DAYS, status="Disabled")): "rule 1 is Disabled, but",
    transition("<Days>1</Days>"): "rule 1: Transition has no effect",
    document(
        rule(DAYS),
        rule(
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>"
            "</NoncurrentVersionExpiration>"
        ),
    ): "rule 2: NoncurrentVersionExpiration: OpenIO counts the days from the creation",
}


@pytest.mark.parametrize("text", WARNED)
def test_what_openio_does_otherwise(text: str) -> None:
    (warning,) = Configuration(text).warnings
    assert warning.startswith(WARNED[text])


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + document(
    rule(DAYS, "<Filter><Prefix>&b;</Prefix></Filter>")
)
FILE = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + filtered("<Prefix>&f;</Prefix>")
TWICE = document(
    rule(DAYS, "<ID>a</ID><Filter/>"), rule(DAYS, "<ID>a</ID><Filter><Prefix>b</Prefix></Filter>")
)
REFUSED = {
    "": "no element found",
    "notxml": "syntax error",
    document(rule(DAYS))[:-3]: "invalid XML at line 1",
    BOMB: "DOCTYPE",
    FILE: "DOCTYPE",
    '<?xml version="1.0" encoding="UTF-8"?>' + document(rule(DAYS)): "encoding",
    "<?php x?>" + document(rule(DAYS)): "processing instructions",
    document(rule(DAYS)).replace("n>", 'n xmlns="http://s3.amazonaws.com/doc/2006-03-01/">', 1): (
        "namespaces"
    ),
    "<s:LifecycleConfiguration/>": "namespaces",
    document(rule(DAYS)).replace("<Rule>", "<Rule a='1'>"): "attributes",
    "<Lifecycle/>": "root element must be LifecycleConfiguration",
    document(): "no Rule",
    document("text"): 'text not expected here: "text"',
    document(rule(DAYS), "<Rules/>"): "LifecycleConfiguration: element Rules is not supported",
    document(rule(DAYS, "")): "rule 1: Filter missing",
    document(rule(DAYS, "<Prefix>old</Prefix><Filter/>")): "rule 1: element Prefix",
    document(rule("")): "one of Expiration",
    document(f"<Rule><Filter/>{DAYS}</Rule>"): "Status missing",
    document(rule(DAYS, status="")): "Status is empty",
    document(rule(DAYS, status="enabled")): "Status must be Enabled or Disabled",
    document(rule(DAYS + DAYS)): "Expiration is given twice",
    document(
        rule(DAYS + "<AbortIncompleteMultipartUpload/>")
    ): "element AbortIncompleteMultipartUpload is not supported",
    TWICE: 'rule 1 and rule 2 have the same ID "a"',
    document(*[rule(DAYS, "<Filter><Prefix>p</Prefix></Filter>")] * 2): "the same ID",
    filtered("<Prefix>a</Prefix><Prefix>b</Prefix>"): "only use the first Prefix",
    filtered("<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>"): "OpenIO would ignore it",
    filtered("<And><And/></And>"): "element And",
    filtered("<Tag><Key>k</Key></Tag>"): "Value missing",
    filtered(tag("k", "")): "Value is empty",
    filtered(tag("k", "1") + tag("k", "2")): "only use the last Tag",
    filtered("<Prefix>a<!-- x -->b</Prefix>"): "a comment would cut its text",
    filtered("<Prefix><b/></Prefix>"): "element not expected here",
    document(rule("<Expiration/>")): "exactly one of Days, Date",
    document(
        rule("<Expiration><Days>1</Days><Date>2030-01-31T00:00:00</Date></Expiration>")
    ): "exactly one of Days, Date",
    document(
        rule("<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>")
    ): "element ExpiredObjectDeleteMarker",
    **{
        document(rule(f"<Expiration><Days>{days}</Days></Expiration>")): "Days"
        for days in ("", "-1", "1.5", "ten", "1" * 9, "٣")
    },
    **{
        document(rule(f"<Expiration><Date>{date}</Date></Expiration>")): "Date must be a day"
        for date in (
            *("2030-01-31", "2030-01-31T00:00:00Z", "2030-01-31T00:00:00.000Z"),
            *("2030-02-30T00:00:00", "2030-01-31T12:00:00", "2030-1-31T00:00:00"),
        )
    },
    document(rule("<Transition><Days>1</Days></Transition>")): "StorageClass missing",
    "<LifecycleConfiguration>" + "<And>" * 20: "element not expected here",
    filtered(f"<Prefix>{'x' * (48 << 10)}</Prefix>"): "too large",
    filtered(f"<Prefix>{'é' * (8 << 10)}</Prefix>"): "too large",
}


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_is_refused(number: int) -> None:
    text = list(REFUSED)[number]
    with pytest.raises(RdctlError) as caught:
        Configuration(text)
    assert caught.value.code is Code.USAGE
    assert caught.value.message.startswith("invalid lifecycle configuration: ")
    assert REFUSED[text] in caught.value.message
