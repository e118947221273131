"""A message of alerts: what of them is still news, its subject, its words in each format."""
