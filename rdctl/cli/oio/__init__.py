"""rdctl oio"""

from __future__ import annotations

from rdctl.cli.tree import LazyGroup

group = LazyGroup(
    "oio",
    help="""OpenIO SDS: object storage, through its oio-proxy.

    An account has containers, and these hold contents, which lie as chunks on services. --oio-url,
    --namespace and --account say where that is, or a context does: rdctl help config.""",
    children={
        "conscience": ("rdctl.cli.oio.conscience:group", "Which services there are."),
        "reference": ("rdctl.cli.oio.reference:group", "Names in the directory, and their links."),
        "container": ("rdctl.cli.oio.container:group", "Containers, and what they hold."),
        "content": ("rdctl.cli.oio.content:group", "Contents: objects and their chunks."),
        "account": ("rdctl.cli.oio.account:group", "Accounts and their containers."),
        "service": ("rdctl.cli.oio.service:group", "Single services."),
        "admin": ("rdctl.cli.oio.admin:group", "Databases: replicas and elections."),
        "local": ("rdctl.cli.oio.local:group", "The services of the proxy's own host."),
        "api": ("rdctl.cli.oio.api:api", "Send any request to the proxy."),
    },
)
