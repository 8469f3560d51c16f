"""Opening the door: what a first start makes, the demo, and what is printed."""
