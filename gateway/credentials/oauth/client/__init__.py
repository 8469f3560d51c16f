"""What we are to an authorization server, and how we prove it there."""
