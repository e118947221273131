"""The background service: its threads, reloads, and the daemons beside it."""
