"""`wsk`: the command line that OpenWhisk users know, against any OpenWhisk API."""
