"""What we issue and take as proof, how long it counts, and what ends it."""
