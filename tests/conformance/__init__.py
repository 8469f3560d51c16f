"""The official MCP conformance suite against the gateway, with a fixture server behind it: `make conformance`."""
