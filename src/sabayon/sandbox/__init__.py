"""Isolation: the port, and one folder or module per driver."""
