"""rdctl rapiddisk"""

from __future__ import annotations

from rdctl.cli.tree import LazyGroup

_VOLUME = "rdctl.cli.rapiddisk.volume:"
_CONTENTS = "rdctl.cli.rapiddisk.contents:"
_STATE = "rdctl.cli.rapiddisk.state:"

group = LazyGroup(
    "rapiddisk",
    help="""Manage RAM disks (volumes), caches and NVMe-oF targets.

    Works on this machine through the kernel (--local, the default), or on a remote machine through
    the rapiddiskd of the context or of --rapiddisk-url. Volumes do not survive a power loss.
    Neither the daemon nor the kernel protects a volume that is in use. rdctl does: it refuses the
    change, names the users, and shows how to free the volume.""",
    children={
        "status": (_VOLUME + "status", "Show the daemon version, or the kernel modules."),
        "resources": (_VOLUME + "resources", "Show memory, and disks that can be cached."),
        "overview": (
            "rdctl.cli.rapiddisk.overview:overview",
            "Show memory, volumes, caches and exports.",
        ),
        "list": (_VOLUME + "list_volumes", "List volumes."),
        "show": (_VOLUME + "show", "Show volumes and their users."),
        "create": (_VOLUME + "create", "Create volumes."),
        "resize": (_VOLUME + "resize", "Resize a volume."),
        "flush": (_VOLUME + "flush", "ERASE volumes; all data are lost (alias: erase)."),
        "remove": (_VOLUME + "remove", "Remove volumes and all their data."),
        "lock": (_VOLUME + "lock", "Make volumes read-only."),
        "unlock": (_VOLUME + "unlock", "Make volumes writable again."),
        "save": (_CONTENTS + "save", "Save the contents of a volume to an image file."),
        "load": (_CONTENTS + "load", "Load the contents of a volume from an image file."),
        "cache": (
            "rdctl.cli.rapiddisk.cache:group",
            "Manage caches: volumes in front of slower disks.",
        ),
        "nvmet": ("rdctl.cli.rapiddisk.nvmet:group", "Manage NVMe-oF targets and ports."),
        "dump": (_STATE + "dump", "Print this machine's volumes, caches, ports and exports."),
        "diff": (_STATE + "diff", "Compare this machine with its state file."),
        "apply": (_STATE + "apply", "Make this machine as its state file says."),
        "undo": ("rdctl.cli.rapiddisk.undo:undo", "Undo an earlier command."),
        "boot": (
            "rdctl.cli.rapiddisk.boot:group",
            "Restore volumes, caches and exports at boot.",
        ),
        "daemon": ("rdctl.cli.rapiddisk.daemon:group", "Manage the systemd unit of rapiddiskd."),
    },
)
