"""Lifecycle configurations: what OpenIO would misapply is found before one is set.

`openio lifecycle apply` reads the XML without checking it, ignores what it does not know, and
applies the rest: a filter that it ignores makes a rule delete more than was meant.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, raw_bytes

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# The property of the container that has it.
KEY = "X-Container-Sysmeta-Swift3-Lifecycle"
# Escaped, and in a header of each listing: beyond 64 KiB, clients cannot list the container.
_MOST_BYTES = 48 << 10
_MOST_DEPTH = 10
_ROOT = "LifecycleConfiguration"
_EXPIRATION, _TRANSITION = "Expiration", "Transition"
_OLD_EXPIRATION, _OLD_TRANSITION = "NoncurrentVersionExpiration", "NoncurrentVersionTransition"
# What may be in an element, and of what exactly one is required.
_ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    _EXPIRATION: (("Days", "Date"), ()),
    _TRANSITION: (("Days", "Date"), ("StorageClass",)),
    _OLD_EXPIRATION: (("NoncurrentDays", "NoncurrentCount"), ()),
    _OLD_TRANSITION: (("NoncurrentDays",), ("StorageClass",)),
}
_BRANCHES = {_ROOT, "Rule", "Filter", "And", "Tag", *_ACTIONS}
_LEAVES = {"ID", "Prefix", "Key", "Value", "Status", "StorageClass"} | {
    name for times, _ in _ACTIONS.values() for name in times
}


class Configuration:
    """A lifecycle configuration that can be set. `warnings` say what it will not do as written."""

    def __init__(self, text: str) -> None:
        self.text = text.lstrip("\ufeff").strip()
        self.warnings: list[str] = []
        # Whether it has rules about old versions.
        self.is_about_versions = False
        size = len(re.sub(rb"[^0-9A-Za-z]", b"%00", raw_bytes(self.text)))
        if size > _MOST_BYTES:
            raise _invalid(f"too large: {size} bytes when escaped, maximum {_MOST_BYTES}")
        self._check(_parsed(self.text))

    def _check(self, root: Element) -> None:
        if root.tag != _ROOT:
            raise _invalid(f"the root element must be {_ROOT}, not {escape(root.tag)}")
        _only(root, "Rule", place=_ROOT)
        if not len(root):
            raise _invalid("no Rule")
        seen: dict[str, str] = {}
        for number, rule in enumerate(root, 1):
            name = self._check_rule(rule, f"rule {number}")
            if name in seen:
                message = f'{seen[name]} and rule {number} have the same ID "{escape(name)}"'
                raise _invalid(f"{message}: OpenIO would only apply the last one")
            if name:
                seen[name] = f"rule {number}"

    def _check_rule(self, rule: Element, place: str) -> str:
        """The ID of a rule, or the one that OpenIO makes of its filter; empty if that is unique."""
        _only(rule, "ID", "Filter", "Status", *_ACTIONS, place=place)
        _once(rule, place)
        filter = rule.find("Filter")
        if filter is None:
            raise _invalid(f"{place}: Filter missing", "To select all objects: <Filter/>")
        name = _filter_name(filter, f"{place}: Filter")
        status = _text(rule, "Status", place)
        if status not in ("Enabled", "Disabled"):
            raise _invalid(f"{place}: Status must be Enabled or Disabled")
        if status == "Disabled":
            self.warnings.append(
                f"{place} is Disabled, but `openio lifecycle apply` applies it nevertheless"
            )
        actions = [rule.find(action) for action in _ACTIONS]
        found = [action for action in actions if action is not None]
        if not found:
            raise _invalid(f"{place}: one of {', '.join(_ACTIONS)} is required")
        for action in found:
            self._check_action(action, f"{place}: {action.tag}")
        return rule.findtext("ID") or name

    def _check_action(self, action: Element, place: str) -> None:
        times, others = _ACTIONS[action.tag]
        _only(action, *times, *others, place=place)
        _once(action, place)
        given = [name for name in times if action.find(name) is not None]
        if len(given) != 1:
            raise _invalid(f"{place}: exactly one of {', '.join(times)} is required")
        _check_time(given[0], _text(action, given[0], place), place)
        for other in others:
            _text(action, other, place)
        if action.tag in (_TRANSITION, _OLD_TRANSITION):
            self.warnings.append(
                f"{place} has no effect: `openio lifecycle apply` of 4.2 fails at it"
            )
        if action.tag in (_OLD_EXPIRATION, _OLD_TRANSITION):
            self.is_about_versions = True
        if given[0] == "NoncurrentDays":
            self.warnings.append(
                f"{place}: OpenIO counts the days from the creation of a version, not from its"
                " replacement"
            )


def _check_time(kind: str, text: str, place: str) -> None:
    if kind != "Date":
        if not re.fullmatch("[0-9]{1,6}", text):
            raise _invalid(f'{place}: {kind} must be a whole number, not "{escape(text)}"')
        return
    form = "%Y-%m-%dT%H:%M:%S"
    try:
        sound = time.strftime(form, time.strptime(text, form)) == text
    except ValueError:
        sound = False
    if not sound or not text.endswith("T00:00:00"):
        raise _invalid(
            f'{place}: Date must be a day, such as 2030-01-31T00:00:00, not "{escape(text)}"',
            "OpenIO reads no time zone, and ignores the time of day.",
        )


def _filter_name(filter: Element, place: str) -> str:
    """Check a filter; the ID that OpenIO makes of it."""
    both = filter.find("And")
    inner = filter if both is None else both
    if both is not None:
        _only(filter, "And", place=place)
        _once(filter, place)
    _only(inner, "Prefix", "Tag", place=place)
    prefixes = inner.findall("Prefix")
    if len(prefixes) > 1:
        raise _invalid(f"{place}: OpenIO would only use the first Prefix")
    tags: dict[str, str] = {}
    for tag in inner.findall("Tag"):
        _only(tag, "Key", "Value", place=f"{place}: Tag")
        _once(tag, f"{place}: Tag")
        key, value = (_text(tag, name, f"{place}: Tag") for name in ("Key", "Value"))
        if key in tags:
            raise _invalid(f'{place}: OpenIO would only use the last Tag "{escape(key)}"')
        tags[key] = value
    prefix = (inner.findtext("Prefix") or "") if prefixes else ""
    parts = [f"prefix={prefix}"] if prefix else []
    return ",".join([*parts, *(f"{key}={tags[key]}" for key in sorted(tags))])


def _only(element: Element, *known: str, place: str) -> None:
    """Refuse what OpenIO would ignore."""
    for child in element:
        if child.tag not in known:
            raise _invalid(
                f"{place}: element {escape(child.tag)} is not supported: OpenIO would ignore it"
            )


def _once(element: Element, place: str) -> None:
    tags = [child.tag for child in element]
    for tag in tags:
        if tags.count(tag) > 1:
            raise _invalid(f"{place}: {tag} is given twice")


def _text(element: Element, name: str, place: str) -> str:
    """The text of a child; an empty one matches what has none."""
    child = element.find(name)
    if child is None:
        raise _invalid(f"{place}: {name} missing")
    if not child.text:
        raise _invalid(f"{place}: {name} is empty")
    return child.text


def _invalid(message: str, hint: str | None = None) -> RdctlError:
    return RdctlError(Code.USAGE, f"invalid lifecycle configuration: {message}", hint=hint)


# --- XML ------------------------------------------------------------------------------------------


def _parsed(text: str) -> Element:
    from xml.parsers import expat

    reader = _Reader()
    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.CommentHandler = reader.data, reader.comment
    parser.StartDoctypeDeclHandler = reader.document_type
    parser.ProcessingInstructionHandler = reader.instruction
    parser.XmlDeclHandler = reader.declared
    try:
        parser.Parse(raw_bytes(text), True)
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        where = f"line {error.lineno}, column {error.offset + 1}"
        raise _invalid(f"invalid XML at {where}: {words}") from error
    return reader.builder.close()


class _Reader:
    """Builds the elements. A document type is refused, so entities are never expanded."""

    def __init__(self) -> None:
        from xml.etree.ElementTree import TreeBuilder

        self.builder = TreeBuilder()
        self._open: list[str] = []

    @property
    def _in_leaf(self) -> bool:
        return bool(self._open) and self._open[-1] in _LEAVES

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if ":" in tag or any(name.startswith("xmlns") for name in attributes):
            raise _invalid("namespaces are not supported: remove xmlns and prefixes")
        if attributes:
            raise _invalid(f"{escape(tag)}: attributes are not supported")
        if len(self._open) == _MOST_DEPTH or self._in_leaf:
            raise _invalid(f"{escape(tag)}: element not expected here")
        self._open.append(tag)
        self.builder.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._open.pop()
        self.builder.end(tag)

    def data(self, part: str) -> None:
        if self._open[-1] in _BRANCHES and part.strip():
            raise _invalid(f'text not expected here: "{escape(part.strip()[:40])}"')
        self.builder.data(part)

    def comment(self, part: str) -> None:
        if self._in_leaf:
            raise _invalid(f"{self._open[-1]}: a comment would cut its text")

    def document_type(self, *_: object) -> None:
        raise _invalid("a document type (DOCTYPE) is not supported")

    def instruction(self, target: str, part: str) -> None:
        raise _invalid(f"{escape(target)}: processing instructions are not supported")

    def declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None:
            raise _invalid(
                "OpenIO cannot read a document with an encoding",
                "Remove encoding=... from its first line; the text must be UTF-8.",
            )
