"""rdctl rapiddisk"""

from __future__ import annotations

from rdctl.cli.tree import LazyGroup

_VOLUME = "rdctl.cli.rapiddisk.volume:"

group = LazyGroup(
    "rapiddisk",
    help="""RAM disks (volumes), caches on top of them, NVMe-oF targets.

    Of this machine, through its kernel (--local, the default), or of the one behind the rapiddiskd
    that the context or --rapiddisk-url names. A volume is lost with the power. Neither daemon nor
    kernel protects one that is in use; rdctl does, and says who uses it and how it is freed.""",
    children={
        "status": (_VOLUME + "status", "The daemon and its version, or the kernel modules here."),
        "resources": (_VOLUME + "resources", "Memory, and disks that can be cached."),
        "list": (_VOLUME + "list_volumes", "List volumes."),
        "show": (_VOLUME + "show", "Show one volume and everybody who uses it."),
        "create": (_VOLUME + "create", "Create volumes."),
        "resize": (_VOLUME + "resize", "Change the size of a volume."),
        "flush": (_VOLUME + "flush", "ERASE volumes: all their data are lost."),
        "remove": (_VOLUME + "remove", "Remove volumes with all their data."),
        "lock": (_VOLUME + "lock", "Make volumes read-only."),
        "unlock": (_VOLUME + "unlock", "Make volumes writable again."),
        "cache": ("rdctl.cli.rapiddisk.cache:group", "Caches: volumes in front of slower disks."),
        "nvmet": ("rdctl.cli.rapiddisk.nvmet:group", "NVMe-oF targets and ports."),
        "daemon": ("rdctl.cli.rapiddisk.daemon:group", "The daemon's systemd unit."),
    },
)
