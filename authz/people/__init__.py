"""Who there is, how they sign in, stay and cease, and what ends with them."""
