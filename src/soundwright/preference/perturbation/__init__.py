"""Captions that are somewhat wrong: by a language model, or by rules."""
