"""RapidDisk: RAM disks, caches on top of them, NVMe-oF targets."""
