"""The identity providers of this installation: opened when they are needed, and asked for people and credentials."""
