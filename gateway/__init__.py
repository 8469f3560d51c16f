"""The HTTP face of Ostiary and the one path that every call takes."""
