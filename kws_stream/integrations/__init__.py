"""Other programs' protocols, each with an extra of its own."""
