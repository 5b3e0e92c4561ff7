"""Completion: the scripts for the shells, made from the tree of commands."""
