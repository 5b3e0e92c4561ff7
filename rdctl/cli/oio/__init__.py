"""rdctl oio"""

from __future__ import annotations

from rdctl.cli.tree import LazyGroup

group = LazyGroup(
    "oio",
    help="""Manage OpenIO SDS object storage through its oio-proxy.

    An account has containers, and containers hold objects (called content in the API). Objects
    are stored as chunks on services. Set --oio-url, --namespace and --account, or a context that
    has them (see rdctl help config).""",
    children={
        "overview": (
            "rdctl.cli.oio.overview:overview",
            "Show services and accounts at a glance.",
        ),
        "conscience": (
            "rdctl.cli.oio.conscience:group",
            "Manage the registry of services and their scores.",
        ),
        "reference": (
            "rdctl.cli.oio.reference:group",
            "Manage references: names in the directory.",
        ),
        "container": ("rdctl.cli.oio.container:group", "Manage containers."),
        "content": ("rdctl.cli.oio.content:group", "Manage objects and their chunks."),
        "lifecycle": (
            "rdctl.cli.oio.lifecycle:group",
            "Manage when the objects of a container expire.",
        ),
        "account": ("rdctl.cli.oio.account:group", "Manage accounts, and show their containers."),
        "volume": (
            "rdctl.cli.oio.volume:group",
            "Show and manage the chunk indexes of rawx services.",
        ),
        "directory": (
            "rdctl.cli.oio.directory:group",
            "Show and warm up the directory of containers.",
        ),
        "events": ("rdctl.cli.oio.events:group", "Show the queue of events."),
        "service": ("rdctl.cli.oio.service:group", "Manage single services."),
        "lb": ("rdctl.cli.oio.lb:group", "Show which services the load balancer would choose."),
        "cache": ("rdctl.cli.oio.cache:group", "Show and flush the caches of the proxy."),
        "admin": ("rdctl.cli.oio.admin:group", "Repair databases: replicas and elections."),
        "local": ("rdctl.cli.oio.conscience:local", "Show the services on the proxy's host."),
        "api": ("rdctl.cli.oio.api:api", "Send a request to the proxy."),
    },
)
