"""What was found and holds, what hides it, and what people decided."""
