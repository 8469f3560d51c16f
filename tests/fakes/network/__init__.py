"""Names, certificates and ways that lead where a test wants."""
