"""Backups, retention and integrity of the database."""
