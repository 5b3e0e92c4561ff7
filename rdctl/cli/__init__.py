"""What the operator types: a file a noun, a function a verb."""
