"""Accounts at servers that people connect: used, renewed, watched over, told of, and ended."""
