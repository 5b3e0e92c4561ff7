"""What cannot be shown is refused before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing
from tests.output.showing import (
    VOLUME,
    show,
)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"columns": ["device", "sise"]}, 'unknown column "sise"'),
        ({"columns": [""]}, 'unknown column ""'),
        ({"sort_by": "-uasge"}, 'unknown column "uasge"'),
        ({"sort_by": "--size"}, 'unknown column "-size"'),
        ({"table_style": "gitub"}, 'unknown table style "gitub"'),
        ({"query": "[?"}, "--query: "),
        ({"query": "[]", "columns": ["device"]}, "--columns and --query are mutually exclusive"),
        ({"query": ""}, "--query: "),
        ({"query": "[].lenght(@)"}, "--query: unknown function: lenght()"),
        ({"query": "length(@, @)"}, "--query: expected 1 argument for function length()"),
    ],
)
def test_what_cannot_be_shown_is_refused_before(view: dict[str, Any], message: str) -> None:
    never = map(pytest.fail, ["it was begun"])
    with pytest.raises(RdctlError) as raised:
        show(Listing(never), VOLUME, **view)
    assert raised.value.code is Code.USAGE
    assert raised.value.message.startswith(message)
    assert raised.value.hint
