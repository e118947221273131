"""Cron lines, calendars, quiet hours and the times of polls. Pure."""
