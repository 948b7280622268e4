"""Waveform to discrete tokens and back, and how such codecs are trained."""
