"""Transfers that can be repeated: what differs between a folder and a container."""
