"""Erasure coding: the fragments of a segment, and the segment from any `k` of them."""
