"""Asking for tokens, keeping them, and proving that they are ours."""
