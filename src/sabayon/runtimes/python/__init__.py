"""Python actions."""
