from pathlib import Path

import pytest
from data_sounds import make_sound

from soundwright.audio.files import write
from soundwright.core.records import Caption, Licence, Source
from soundwright.data.clips import Draft, describe_clip
from soundwright.data.manifest import Header, Manifest


@pytest.fixture
def sound_file(tmp_path):
    """Writes a small sound file below tmp_path."""

    def make(name: str, seed: int = 0, **facts) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, make_sound(seed, **facts))
        return path

    return make


@pytest.fixture
def make_corpus(tmp_path, sound_file):
    """Writes sound files of the given lengths and describes them in a manifest."""

    def make(lengths, folder: str = "corpus") -> Manifest:
        root = tmp_path / folder
        clips = []
        for number, seconds in enumerate(lengths):
            name = f"{number:03d}.wav"
            draft = Draft(
                path=sound_file(f"{folder}/audio/{name}", seed=number, seconds=seconds),
                source=Source(dataset="test", item=name),
                captions=(
                    Caption(text=f"sound {number}"),
                    Caption(text=f"label {number}", kind="tags"),
                ),
                tags=("even" if number % 2 == 0 else "odd",),
                licence=Licence(name="CC0"),
                split="train" if number % 4 else "valid",
            )
            clips.append(describe_clip(draft, root))
        return Manifest(Header(facts={"made": "for a test"}), tuple(clips), root)

    return make
