"""What a gateway calls: servers, HTTP APIs, and whoever gives tokens for them."""
