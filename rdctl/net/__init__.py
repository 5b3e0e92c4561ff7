"""Requests over HTTP, with deadlines, and what can go wrong with them."""
