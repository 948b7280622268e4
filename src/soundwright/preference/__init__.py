"""Pairs of a model's own sounds, as Tango 2 makes them, and the training of models on them."""
