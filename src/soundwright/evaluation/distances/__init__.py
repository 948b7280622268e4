"""Distances, divergences and scores as pure functions of embeddings and logits; no files."""
