"""The properties of containers, objects and references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

from rdctl.api.call import Changing, Noun, words
from rdctl.api.models import Outcome
from rdctl.oio.model import Properties


def pairs(properties: Mapping[str, str] | None) -> list[str]:
    """As words of a command."""
    return [f"{key}={value}" for key, value in (properties or {}).items()]


class WithProperties(Noun):
    """A noun whose things are named by one word."""

    _family: ClassVar[str]

    def get_properties(self, name: str) -> dict[str, str]:
        """The properties that users have set."""
        found = self._item(
            words(f"oio {self._family} get-properties", name),
            lambda site: site.oio.properties.get(self._family, site.oio.place(name), None, {}),
            Properties,
        )
        return found.properties

    def set_properties(
        self,
        name: str,
        properties: Mapping[str, str],
        *,
        replace_all: bool = False,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Set properties; others are kept unless `replace_all`."""
        what = words(
            f"oio {self._family} set-properties",
            name,
            *pairs(properties),
            replace_all=replace_all,
        )
        return self._change(
            what,
            lambda site: site.oio.properties.set(
                self._family, site.oio.place(name), properties, {}, replace_all, {}
            ),
            options,
        )

    def del_properties(
        self, name: str, *keys: str, all: bool = False, **options: Unpack[Changing]
    ) -> Outcome:
        """Delete properties: these, or `all`."""
        if bool(keys) == all:
            raise TypeError("give either keys or all=True")
        return self._change(
            words(f"oio {self._family} del-properties", name, *keys, all=all),
            lambda site: site.oio.properties.delete(
                self._family, site.oio.place(name), None if all else keys, {}
            ),
            options,
        )
