"""The authorization server for our own clients: OAuth 2.1 on Authlib's framework-free core, in the thread pool."""
