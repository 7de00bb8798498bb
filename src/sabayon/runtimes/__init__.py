"""Languages: one folder each with the launcher that runs inside the sandbox, and how to find interpreters."""
