"""We as an OAuth client of servers (MCP authorization, revision 2026-07-28): finding their authorization server, being
known there, asking for tokens, and people who connect accounts.

What a server or an authorization server says is believed as far as it can be checked, and shown to nobody.
"""
