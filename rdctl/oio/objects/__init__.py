"""Whole objects: cut into chunks, sent to rawx services, received from them, into files."""
