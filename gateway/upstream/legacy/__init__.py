"""Servers of 2025-11-25 and before: sessions, what they ask back in the middle of a call, and their tasks."""
