"""What is told because time passed, not because a list came."""
