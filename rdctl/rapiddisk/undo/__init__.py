"""undo: the inverses of what one command changed, as the history has it."""
