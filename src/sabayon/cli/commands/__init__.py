"""One module for each command or group of commands; each offers it as `COMMAND`."""
