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
    help="""Manage RapidDisk and OpenIO SDS.

    RapidDisk provides RAM disks, caches and NVMe-oF targets; OpenIO SDS is an object store. To try
    rdctl without either: rdctl -c sandbox rapiddisk list

    Destructive commands require confirmation and show what will be lost. Without a terminal they
    require --yes. --dry-run shows the steps without executing them; --trace shows them while they
    are executed.

    The options below can be given anywhere on the command line.""",
    children={
        "rapiddisk": (
            "rdctl.cli.rapiddisk:group",
            "Manage RAM disks (volumes), caches and NVMe-oF targets.",
        ),
        "oio": ("rdctl.cli.oio:group", "Manage OpenIO SDS object storage through its oio-proxy."),
        "doctor": ("rdctl.cli.doctor:doctor", "Diagnose problems and show how to fix them."),
        "context": (
            "rdctl.cli.context:group",
            "Manage contexts: named sets of connection settings.",
        ),
        "sandbox": ("rdctl.cli.sandbox:group", "Manage the sandbox: both systems, simulated."),
        "completion": (
            "rdctl.cli.completion:completion",
            "Print or install a shell completion script.",
        ),
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
