"""A small synchronous client of the REST API, on the standard library alone so that commands start fast."""

from sabayon.client.http import Client, ConnectionFailed, Exchange, Response

__all__ = ["Client", "ConnectionFailed", "Exchange", "Response"]
