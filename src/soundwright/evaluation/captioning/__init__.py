"""Captions against references: BLEU, ROUGE-L and CIDEr-D here, others through aac-metrics."""
