"""What lasts: entities, identities, activation records, accepted but unfinished work."""
