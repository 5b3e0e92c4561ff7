"""Checks and repairs of objects."""
