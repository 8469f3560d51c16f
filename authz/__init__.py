"""Who may do what, and with which token: principals, policy, tokens, accounts, clients."""
