"""Event providers: they hold connections or clocks, and fire triggers through the REST API like anybody else."""
