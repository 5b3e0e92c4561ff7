"""What makes and checks a release: see docs/releasing.md. It is no part of what is installed."""
