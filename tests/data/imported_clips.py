"""What tests of importers ask about the clips that came out."""

from soundwright.text.preparation import PRESETS, clip_texts, excluded_term


def by_item(imported):
    return {clip.source.item: clip for clip in imported.manifest.clips}


def sound_texts(clip):
    """What a model of sounds reads, as section 4.1 of the RR paper prepares it."""
    return clip_texts(clip, PRESETS["rr-sound"])


def music_texts(clip):
    return clip_texts(clip, PRESETS["rr-music"])


def has_speech(clip):
    return excluded_term(clip, PRESETS["rr-sound"]) == "speech"
