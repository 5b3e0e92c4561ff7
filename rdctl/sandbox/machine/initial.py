"""The machine of a new sandbox: one small volume with contents, exported over TCP."""

from __future__ import annotations

from typing import NamedTuple

from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.machine.objects import MIB, NVMET, PAGE

NQN = "nqn.2021-06.org.rapiddisk:sandbox-rd0"
SERIAL = "7d2f1a90c3b84e65a1f0"
UUID = "4c1d8a4e-5f0b-4b7e-9d55-0a6b3c2d1e0f"
HOST = "nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d"


class SeedDisk(NamedTuple):
    """`link` is below /dev/disk."""

    name: str
    size: int
    number: str
    link: str
    vendor: str | None = None
    model: str | None = None


DISKS = (
    SeedDisk("sda", 512 * MIB, "8:0", "by-id/ata-QEMU_HARDDISK_QM00001", "QEMU", "QEMU"),
    SeedDisk("sdb", 1024 * MIB, "8:16", "by-id/ata-QEMU_HARDDISK_QM00002", "QEMU", "QEMU"),
    SeedDisk("nvme0n1", 8192 * MIB, "259:0", "by-id/nvme-QEMU_sandbox0", None, "QEMU"),
    SeedDisk("vdb", 512 * MIB, "254:16", "by-id/virtio-sandbox-vdb"),
    SeedDisk("vdc", 512 * MIB, "254:32", "by-path/pci-0000:00:08.0"),
)


def furnish(machine: Machine) -> None:
    machine.put("proc/sys/kernel/hostname", "sandbox\n")
    add_disks(machine)
    machine.allow_transport("loop")
    machine.make_dir("sys/module/nvmet_tcp")
    machine.add_volume(0, 32 * MIB)
    for block in range(4):
        machine.write_data("rd0", b"scratch\n" * (PAGE // 8), block * PAGE)
    machine.add_port(1, "127.0.0.1", "4420", "tcp")
    machine.add_port(2, "", "", "loop")
    machine.add_export(NQN, 1, "/dev/rd0", enabled=True, hosts=[HOST], ports=[1])
    machine.put(f"{NVMET}/subsystems/{NQN}/attr_serial", f"{SERIAL}\n")
    machine.put(f"{NVMET}/subsystems/{NQN}/namespaces/1/device_uuid", f"{UUID}\n")


def add_disks(machine: Machine) -> None:
    for disk in DISKS:
        machine.add_disk(disk.name, disk.size, disk.number)
        machine.name_disk(disk.name, disk.vendor, disk.model)
        machine.add_link(f"dev/disk/{disk.link}", f"../../{disk.name}")
