"""The history of changes: what was done, by whom, and how it ended."""
