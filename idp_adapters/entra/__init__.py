"""Microsoft Entra ID: OpenID Connect as it speaks it, and its directory."""
