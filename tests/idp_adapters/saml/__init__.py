"""SAML: an identity provider that can really sign, and says whatever a test wants it to."""
