"""rdctl doctor: what works, what does not, and why."""
