"""Verbs about clients, agents and tokens."""
