"""What servers answer and ask, looked at before it goes on to a client."""
