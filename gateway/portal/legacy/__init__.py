"""Clients of 2025-03-26 to 2025-11-25: sessions, batches, streams taken up again, and questions asked on them."""
