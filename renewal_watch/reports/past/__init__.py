"""What was: what changed in the fleet, and who did what."""
