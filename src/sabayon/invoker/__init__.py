"""The invoker: decides which container runs an activation, has it run, and records how it ended."""
