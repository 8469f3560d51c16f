"""Signing in and out: with a password of ours, with a second factor, and with an identity provider."""
