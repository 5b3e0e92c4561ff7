"""What monitoring systems read: samples for Prometheus, and the state of one check."""
