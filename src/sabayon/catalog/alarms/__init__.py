"""Sources of the actions in `/whisk.system/alarms`; they run in sandboxes, not here."""
