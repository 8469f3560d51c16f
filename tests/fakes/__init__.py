"""Small real servers that tests run beside the gateway."""
