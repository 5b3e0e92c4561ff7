"""What applies the state file at boot, and writes caches back at shutdown."""
