"""Reads the configuration, checks it, and names every fault at once."""
