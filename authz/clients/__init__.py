"""The software through which somebody asks."""
