"""Sealed secrets: the master key, the vault, and the pages that say which secrets there should be."""
