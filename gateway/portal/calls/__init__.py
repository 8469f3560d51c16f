"""One call, from a parsed message to what leaves for a server, and what is said while it runs."""
