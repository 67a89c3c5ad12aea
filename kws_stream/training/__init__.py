"""Training of spotting networks with PyTorch (extra: train)."""
