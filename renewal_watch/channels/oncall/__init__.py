"""What each on-call service is asked, from what it was told last to how an incident stands now. Pure."""
