"""What the service speaks of: numbers, what is kept of them, alerts, decisions. Pure values."""
