"""Settings and contexts."""
