"""What leaves a pack for other places to run it."""
