"""Whether objects are whole, and how they become whole again."""
