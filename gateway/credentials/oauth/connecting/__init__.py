"""A person's way to an authorization server and back, with an account connected."""
