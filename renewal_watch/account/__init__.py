"""What the account says beside the list means for the numbers. Pure."""
