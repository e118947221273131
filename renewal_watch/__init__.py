"""A watch over rented phone numbers that tells before one is lost."""

__version__ = "0.1.0"
