"""Corpora: manifest, importers, checks, token stores, shards, and batches for training."""
