"""What is a person's own: their account, servers, tokens, delegations and sessions."""
