"""OpenID Connect: what every OpenID provider has in common."""
