"""Owners, labels and notes of numbers, from a CSV file."""
