"""The half of the authorization server that a person sees: consent, device codes, and signing in once more."""
