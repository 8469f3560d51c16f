"""The grants, one in each file: what may be exchanged for a token, and what is checked besides Authlib's grammar."""
