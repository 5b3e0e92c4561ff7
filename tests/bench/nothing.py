"""Nothing: what `python3 -m` costs by itself."""
