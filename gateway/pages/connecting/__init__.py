"""The pages where accounts at servers are connected: each person's own, and those that all share."""
