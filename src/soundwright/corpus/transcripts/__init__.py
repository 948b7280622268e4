"""Transcripts of recordings: WebVTT, SubRip and YouTube's json3, as cues."""
