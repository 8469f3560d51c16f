"""Who asks for tokens: registered clients, clients with a document, and the documents about ourselves."""
