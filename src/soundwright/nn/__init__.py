"""Layers that several systems share: matrices laid out and quantised for inference."""
