"""A recipe small enough to train in a test."""

from kws_stream.training.recipe import Recipe


def small_recipe(**changes: object) -> Recipe:
    settings = {"name": "small", "task": "v2-12", "width": 6, "cells": 5, "blocks": 2}
    return Recipe(**(settings | changes))  # type: ignore[arg-type]
