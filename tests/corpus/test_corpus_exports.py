"""Exports as others read them: WebDataset tars, tables of the package datasets, subsets."""

import io
import json
import tarfile

import pytest
import soundfile
from small_media import exported_records, run, write_config, write_media

from soundwright.core.errors import ConfigError
from soundwright.corpus.stages.selecting import SelectConfig
from soundwright.data.manifest import read_clip, read_manifest
from soundwright.data.shards import read_shards


@pytest.fixture
def config(tmp_path):
    write_media(tmp_path / "media")
    return write_config(tmp_path)


def test_tars_are_shards_of_webdataset(config):
    run(config)
    folder = config.parent / "export"
    manifest = read_manifest(folder)
    assert {clip.id for clip in read_shards(folder).clips} == {clip.id for clip in manifest.clips}
    for path in sorted(folder.glob("shard-*.tar")):
        with tarfile.open(path) as tar:
            names = tar.getnames()
        assert [name.partition(".")[2] for name in names] == ["json", "flac"] * (len(names) // 2)


def test_datasets_reads_the_tables(config, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs the package datasets")
    run(config)
    manifest = read_manifest(config.parent / "export")
    heard = {clip.id: read_clip(manifest, clip).samples[0].numpy() for clip in manifest.clips}
    run(config, "export.format=parquet")
    files = sorted(str(path) for path in (config.parent / "export" / "data").glob("*.parquet"))
    table = datasets.load_dataset(
        "parquet", data_files={"train": files}, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(table.features["audio"], datasets.Audio)
    rows = {row["id"]: row for row in table.cast_column("audio", datasets.Audio(decode=False))}
    assert len(rows) == len(manifest.clips) == 8
    for clip in manifest.clips:
        row = rows[clip.id]
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        assert rate == clip.sample_rate
        assert (samples == heard[clip.id]).all()
        assert row["caption"] == clip.captions[-1].text
        assert row["licence"] == "CC0"
        assert json.loads(row["record"])["pcm_hash"] == clip.pcm_hash


def test_subsets_have_manifests_of_their_own(config):
    subsets = {"first": "source.start < 1", "none": "duration > 60"}
    run(config, f"select.subsets={json.dumps(subsets)}")
    folder = config.parent / "export"
    first = read_manifest(folder / "manifest-first.jsonl")
    assert len(first.clips) == 4
    assert all(clip.source.start < 1 for clip in first.clips)
    assert len(read_manifest(folder / "manifest-none.jsonl").clips) == 0
    assert read_clip(first, first.clips[0]).samples.abs().amax() > 0


@pytest.mark.parametrize("name", ["high quality", "a/b", "../../evil", ".hidden", "", "x\n"])
def test_names_of_subsets_name_files(name):
    with pytest.raises(ConfigError, match="cannot name a manifest"):
        SelectConfig.read({"subsets": {name: "duration > 1"}}, origin="here")
    assert SelectConfig.read({"subsets": {"MQ-L_1.0": "duration > 1"}}, origin="here").subsets


def test_clips_without_captions_are_left_out_unless_wanted(config):
    write_config(config.parent, caption=None, merge=None)
    run(config)
    assert exported_records(config.parent) == []
    run(config, "export.captioned=false")
    assert len(exported_records(config.parent)) == 8


def test_intervals_can_be_chosen_before_anything_is_fetched(tmp_path):
    lines = [
        {f"vid{number}": {"intervals": [{"start": 0, "end": 8, "text": text, "CLAP_SIM": clap}]}}
        for number, (text, clap) in enumerate(
            [("rain falls", 0.5), ("a man speaks", 0.5), ("wind blows", 0.05)]
        )
    ]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(one)},\n" for one in lines))
    config = write_config(
        tmp_path,
        inputs=[{"intervals": "list.jsonl", "dataset": "published"}],
        transcripts=None,
        decode={"sound": "none"},
        probe=None,
        caption=None,
        select={"where": "not dropped and published_clap >= 0.1"},
        export={"format": "manifest"},
    )
    run(config)
    (kept,) = exported_records(tmp_path)
    assert kept["captions"][0]["text"] == "rain falls"
    assert kept["location"]["path"] == "https://www.youtube.com/watch?v=vid0"
