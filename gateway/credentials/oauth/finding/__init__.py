"""Finding who gives tokens for a server, and what it says of itself."""
