"""Who listens for what changes, and what they hear."""
