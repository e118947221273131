"""The ways out: Apprise, commands, webhooks."""
