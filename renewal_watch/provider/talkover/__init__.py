"""The Talkover API, and every brand of it."""
