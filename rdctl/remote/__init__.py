"""Another machine over SSH: rdctl here asks rdctl there."""
