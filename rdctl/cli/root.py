"""The tree of nouns."""

from __future__ import annotations

import click

from rdctl import __version__
from rdctl.cli.lazy import LazyGroup


def _version(context: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        context.obj.stdout.write(f"rdctl {__version__}\n")
        context.exit()


root = LazyGroup(
    "rdctl",
    help="""Administer RapidDisk (RAM disks, caches, NVMe-oF targets) and OpenIO SDS.

    Try it without either: rdctl -c sandbox rapiddisk list

    What destroys something asks first, and says what is lost; where nobody can be asked it takes
    --yes. --dry-run shows the steps without taking them, --trace while it takes them.

    The options below stand anywhere: before the noun, after it, or after the verb.""",
    children={
        "rapiddisk": (
            "rdctl.cli.rapiddisk:group",
            "RAM disks (volumes), caches on top of them, NVMe-oF targets.",
        ),
        "oio": ("rdctl.cli.oio:group", "OpenIO SDS: object storage, through its oio-proxy."),
        "doctor": ("rdctl.cli.doctor:doctor", "Find out what works, what does not, and why."),
        "context": ("rdctl.cli.context:group", "The systems that rdctl knows, by name."),
        "sandbox": ("rdctl.cli.sandbox:group", "Both systems simulated, to try and to learn."),
        "completion": ("rdctl.cli.completion:completion", "A completion script for your shell."),
        "help": ("rdctl.cli.topics:show", "Explain exit-codes, output, environment or config."),
    },
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Show the version.",
        )
    ],
)
