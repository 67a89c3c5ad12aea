"""Scores of model packs: clip by clip on a data set, and event by event on a stream."""
