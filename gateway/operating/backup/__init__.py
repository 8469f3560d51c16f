"""A copy of everything that is durable, and the way back."""
