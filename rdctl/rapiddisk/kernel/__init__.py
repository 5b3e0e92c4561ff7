"""RapidDisk on this very machine, through the kernel: sysfs, ioctls, device-mapper, configfs."""
