"""Sabayon: a self-hosted serverless platform that speaks Apache OpenWhisk."""

__version__ = "0.1.0"
