"""What a machine is to have, as a file: dump, diff, apply."""
