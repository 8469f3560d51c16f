"""SAML 2.0, with what libraries leave open closed."""
