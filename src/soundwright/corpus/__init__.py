"""Corpora: from media with transcripts to clean, licensed, captioned clips, stage by stage."""
