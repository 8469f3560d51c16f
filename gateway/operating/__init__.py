"""Running it: what is missing, what is counted, whether we are ready, and how to keep a copy."""
