import pytest

from soundwright.core.errors import ConfigError, UserError
from soundwright.core.records import Licence, Scene
from soundwright.data.manifest import read_manifest, write_manifest
from soundwright.data.verification import verify
from soundwright.pipelines.corpora import (
    DataConfig,
    draw_weights,
    gather_corpus,
    scenes_folder,
    split_corpus,
)
from soundwright.pipelines.scenes import RecordingSource, SceneSource, make_scenes

SOURCE = SceneSource.read({"clips": 6, "seed": 5, "composer": {"duration": 1.5}, "validation": 2})


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return make_scenes(SOURCE, folder / "corpus")


def test_a_corpus_is_whole_captioned_and_true(corpus):
    assert len(corpus.clips) == 6
    assert verify(corpus).sound
    lines = (corpus.folder / "scenes.jsonl").read_text().splitlines()
    for clip, line in zip(corpus.clips, lines, strict=True):
        scene = Scene.model_validate_json(line)
        assert clip.captions
        assert clip.duration == pytest.approx(1.5)
        assert [(e.label, e.onset) for e in clip.events] == [
            (e.label, e.onset) for e in scene.events
        ]
        assert clip.licence.name == "generated"
    assert [clip.split for clip in corpus.clips] == ["validation"] * 2 + ["train"] * 4


def test_same_source_same_bytes_whatever_the_threads(corpus, tmp_path):
    make_scenes(SOURCE, tmp_path / "again", workers=0)
    assert content(tmp_path / "again") == content(corpus.folder)


def test_an_interrupted_corpus_is_finished_with_the_same_bytes(corpus, tmp_path):
    whole = content(corpus.folder)
    for name in ("audio/000000.flac", "audio/000003.flac"):
        (tmp_path / "audio").mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(whole[name])
    make_scenes(SOURCE, tmp_path)
    assert content(tmp_path) == whole


def test_a_finished_corpus_is_read_not_made(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.folder.rglob("*")}
    assert make_scenes(SOURCE, corpus.folder) == corpus
    assert before == {path: path.stat().st_mtime_ns for path in corpus.folder.rglob("*")}


def test_another_source_does_not_take_the_folder(corpus):
    with pytest.raises(UserError, match="holds another corpus"):
        make_scenes(SOURCE.model_copy(update={"seed": 6}), corpus.folder)


def test_events_from_recordings_name_their_parents_and_terms(corpus, tmp_path):
    owned = corpus.with_clips(
        clip.model_copy(update={"licence": Licence(name="CC-BY", author="Ann")})
        for clip in corpus.clips
    )
    write_manifest(tmp_path / "recorded.jsonl", owned)
    source = SceneSource(
        clips=6,
        composer=SOURCE.composer.model_copy(update={"recorded_labels": 1.0}),
        recordings=RecordingSource(manifest=tmp_path / "recorded.jsonl"),
    )
    made = make_scenes(source, tmp_path / "made")
    cut = [clip for clip in made.clips if clip.parents]
    assert cut
    ids = {clip.id for clip in corpus.clips}
    for clip in cut:
        assert set(clip.parents) <= ids
        assert (clip.licence.name, clip.licence.author) == ("CC-BY", "Ann")


def test_a_recipe_without_data_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="soundwright data import"):
        gather_corpus(DataConfig(), tmp_path)


def test_manifests_and_scenes_make_one_corpus(corpus, tmp_path):
    other = SOURCE.model_copy(update={"seed": 9, "clips": 2})
    config = DataConfig(manifests=(corpus.folder / "manifest.jsonl",), scenes=other)
    joined = gather_corpus(config, tmp_path)
    assert len(joined.clips) == 8
    assert verify(joined).sound
    assert read_manifest(scenes_folder(other, tmp_path) / "manifest.jsonl").clips


def test_train_and_validation_stay_apart(corpus):
    held_out = {"validation": {"splits": ["validation"]}}
    with pytest.raises(ConfigError, match=r"2 clips are selected by data\.train and"):
        split_corpus(DataConfig.read(held_out), corpus)
    config = DataConfig.read({**held_out, "train": {"exclude_splits": ["validation"]}})
    train, validation = split_corpus(config, corpus)
    assert validation is not None
    assert (len(train.clips), len(validation.clips)) == (4, 2)


def test_weights_are_shares_of_data_sets(corpus):
    clips = [
        clip.model_copy(update={"source": clip.source.model_copy(update={"dataset": name})})
        for clip, name in zip(corpus.clips, "aaaabc", strict=True)
    ]
    weights = draw_weights(DataConfig(weights={"a": 3.0, "b": 1.0}), clips)
    assert weights == [0.75] * 4 + [1.0, 0.0]
    assert draw_weights(DataConfig(), clips) is None
    with pytest.raises(ConfigError, match="no clip is of 'd'"):
        draw_weights(DataConfig(weights={"d": 1.0}), clips)
