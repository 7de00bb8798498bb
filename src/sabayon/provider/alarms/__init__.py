"""Timers: triggers that fire by cron, at intervals, or once."""
