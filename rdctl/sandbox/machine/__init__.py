"""A simulated machine: a tree of /sys, /proc and /dev, and the system calls that change it."""
