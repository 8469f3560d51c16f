"""What exists and what was approved: servers, definitions, pins, sealed secrets, and the database they live in."""
