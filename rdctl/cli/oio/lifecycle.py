"""rdctl oio lifecycle"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.oio.arguments import read_bytes, target
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Document, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.lifecycle:"

group = LazyGroup(
    "lifecycle",
    help="""Manage when the objects of a container expire.

    A lifecycle configuration is an XML document as in S3, stored with the container. OpenIO does
    not apply it by itself: run `openio lifecycle apply CONTAINER`, for example daily.""",
    children={
        "get": (_HERE + "get", "Print the lifecycle configuration of a container."),
        "set": (_HERE + "set_", "Set the lifecycle configuration of a container."),
    },
)


@verb(
    "get",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio lifecycle get photos",
        "rdctl -c sandbox oio lifecycle get photos --json --query configuration",
    ],
)
@target("container", reads=True)
def get(site: Site, place: Place) -> Document:
    """Print the lifecycle configuration of a container.

    Prints the document as it is stored, or nothing if none is set; a terminal gets a notice."""
    return site.oio.lifecycles.get(place)


@verb(
    "set",
    examples=[
        "rdctl -c sandbox oio lifecycle set photos rules.xml",
        "rdctl -c sandbox oio lifecycle set photos - --dry-run < rules.xml",
    ],
)
@target("container", rest="FILE")
def set_(site: Site, place: Place, file: str) -> Report:
    """Set the lifecycle configuration of a container.

    FILE is an XML document; - reads stdin. This one deletes what is below tmp/ after 30 days:

    <LifecycleConfiguration> <Rule> <Filter><Prefix>tmp/</Prefix></Filter> <Status>Enabled</Status>
    <Expiration><Days>30</Days></Expiration> </Rule> </LifecycleConfiguration>

    Replacing another configuration requires confirmation.
    What OpenIO would ignore or misread is refused: unknown elements, namespaces, dates with a time
    of day, rules with the same ID. Warnings tell what `openio lifecycle apply` does otherwise: it
    applies rules that are Disabled, and a Transition has no effect. Expiration deletes all versions
    of that age, without a delete marker. To remove a configuration, use `rdctl oio container
    del-properties CONTAINER X-Container-Sysmeta-Swift3-Lifecycle`."""
    from rdctl.oio.lifecycle import Configuration

    data = read_bytes(click.get_current_context(), file)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = "standard input" if file == "-" else file
        raise RdctlError(Code.USAGE, f"{shown}: must be UTF-8", target=file) from error
    return site.oio.lifecycles.set(place, Configuration(text))
