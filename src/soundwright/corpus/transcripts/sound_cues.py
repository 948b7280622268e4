"""Cues that write of sounds: "[Music]", "(dog barks)", "♪ la la ♪"."""

from __future__ import annotations

import re

from soundwright.corpus.keywords import find_keywords, load_word_list

_NOTE = "[♪♫♬♩¶]"
_MARK = re.compile(r"[♪♫♬♩¶#\[(*（【]")
_SONG = re.compile(
    rf"{_NOTE}.*?{_NOTE}|(?<!\S)#\s.*?\s#(?!\S)|^\W*{_NOTE}.*|.*{_NOTE}\W*$", re.DOTALL
)
"""Between two notes or number signs; a song that runs over several cues has a note at one end."""
_BRACKETS = re.compile(r"\[([^\[\]]*)\]|\(([^()]*)\)|\*([^*]+)\*|（([^（）]*)）|【([^【】]*)】")
_BETWEEN = re.compile(r"[\s\-–—>.,;:!?…]*")
_SPOKEN = re.compile(
    r"\b(?:i|i'm|you|your|we|they|he|she|it's|my|me|don't|inaudible|unintelligible|indistinct)\b",
    re.IGNORECASE,
)
"""What is said aside in brackets, or cannot be understood."""
_FOREIGN_MUSIC = re.compile(
    r"música|musique|musik|musica|muziek|muzyka|музык|музик|müzik|hudba|zene|"
    r"音楽|音乐|音樂|음악|موسيقى|संगीत|μουσικ",
    re.IGNORECASE,
)


def is_sound_cue(text: str) -> bool:
    """Whether a cue's text only writes of sounds, not of words that are spoken.

    Songs between notes are sounds: music with words in it. Brackets that tell of speech
    ("[man speaking]", "[inaudible]") or hold signs alone ("[ __ ]", a masked word) are not.
    """
    return _sounds(text) is not None


def is_music_cue(text: str) -> bool:
    """Whether a cue's text only writes of sounds, and one of them is music."""
    sounds = _sounds(text) or []
    return any(_FOREIGN_MUSIC.search(one) or _mentions("music-1", one) for one in sounds)


def _sounds(text: str) -> list[str] | None:
    """The sounds that a cue names, songs as "music"; None where it has anything besides."""
    if not _MARK.search(text):
        return None
    rest, songs = _SONG.subn(" ", text)
    sounds = ["music"] * songs
    for match in _BRACKETS.finditer(rest):
        inner = next(part for part in match.groups() if part is not None)
        wordless = not any(character.isalpha() for character in inner)
        if wordless or _SPOKEN.search(inner) or _mentions("speech-1", inner):
            return None
        sounds.append(inner)
    return sounds if sounds and _BETWEEN.fullmatch(_BRACKETS.sub(" ", rest)) else None


def _mentions(word_list: str, text: str) -> bool:
    return bool(find_keywords(text, load_word_list(word_list)))
