"""Renewal days ahead as rows of a calendar, and renewals that were, read from the history."""
