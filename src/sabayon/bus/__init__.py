"""Between controller and invoker: the messages, and the transports that carry them."""
