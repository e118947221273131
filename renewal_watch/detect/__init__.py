"""What a list, or its absence, means for the numbers. Pure."""
