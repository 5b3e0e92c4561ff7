"""Used by all parts: errors, results, units, and the environment of the process."""
