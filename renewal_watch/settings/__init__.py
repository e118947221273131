"""The sections of the configuration as values, and their secrets."""
