"""What becomes of accepted work: how the journal keeps it, when it is tried again, and how it ends."""
