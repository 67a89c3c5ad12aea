"""Speech to train on: synthesised, spliced, heard in rooms, gathered into training sets."""
