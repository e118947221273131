"""Whom the pages let act: tokens of programs, links that were called back."""
