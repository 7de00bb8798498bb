"""The REST API: parse, authenticate, entitle, throttle, resolve, and either answer or hand over to an invoker."""
