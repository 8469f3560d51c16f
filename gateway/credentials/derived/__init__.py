"""Credentials that are made for whoever asks, when they ask: minted by us, exchanged, vouched for, on behalf of.

Each says who that is; one that we sign also says who acts for them. They live for minutes, in memory alone: what is
kept is the person's sign-in at their identity provider (`gateway.identity.lending`), sealed with its session.
"""
