"""Soundwright turns words into sound, and makes sound obey words."""

__version__ = "0.1.0"
