"""What alerts say: a struct for each thing that can have happened, with its words. Pure."""
