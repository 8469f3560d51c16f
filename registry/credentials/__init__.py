"""How we authenticate to servers: modes and their settings, connected accounts, our clients, certificates."""
