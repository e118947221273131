"""The texts of alerts. Pure."""
