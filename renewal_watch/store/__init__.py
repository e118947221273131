"""What is kept, and every question asked of it."""
