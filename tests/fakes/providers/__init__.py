"""Whoever says who people are, or signs for them: well, or in every wrong way."""
