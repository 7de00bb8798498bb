"""What every installation offers in `/whisk.system`, installed through the REST API."""
