"""WebDataset shards: tar files in which a clip is `<id>.json` and its sound, `<id>.<suffix>`.

Anything that reads WebDataset reads them. Here, clips are read by their span of bytes, so that
access is random, a position is one integer, and the shards need not be unpacked.
"""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import soundfile
from pydantic import ValidationError

from soundwright.audio.files import encode, probe
from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import open_atomic
from soundwright.core.progress import Meter
from soundwright.core.records import Clip, Location, Mixture
from soundwright.data.bad_clips import BadClips
from soundwright.data.manifest import (
    MANIFEST_NAME,
    Header,
    Manifest,
    clip_bytes,
    clip_path,
    read_clip,
    write_manifest,
)
from soundwright.data.prefetch import compute_in_order

TAIL_S = 1e-3
"""A clip that ends this close to its file's end is the whole file."""


@dataclass(frozen=True)
class _Member:
    """One clip on its way into a shard."""

    clip: Clip
    record: bytes
    content: bytes
    suffix: str

    @property
    def size(self) -> int:
        """Bytes in the tar: two members, each with a header and padded to whole blocks."""
        block = tarfile.BLOCKSIZE
        return sum(block + -(-len(part) // block) * block for part in (self.record, self.content))


def write_shards(
    manifest: Manifest,
    out: Path,
    *,
    max_bytes: int = 1 << 30,
    workers: int = 2,
    max_bad_rate: float = 0.05,
) -> Manifest:
    """Pack a corpus into `out/shard-00000.tar` ... and `out/manifest.jsonl`.

    Clips are sorted by id. Files keep their encoding; a clip that is part of a longer file
    becomes a WAV of 32-bit samples, which changes none of them (resampled, its edges no longer
    see what lay around it). The same corpus gives the same
    bytes. A killed run continues behind its last whole shard. Bad clips are named, counted in
    the header, and skipped.

    Args:
        manifest: The corpus.
        out: The folder of the shards.
        max_bytes: A shard takes clips up to this size; one clip always fits.
        workers: Threads that read ahead.
        max_bad_rate: As in `SegmentConfig`.

    Returns:
        The manifest of the shards, as it is written: each location is a span of bytes.

    Raises:
        UserError: `out` holds shards of another corpus, the corpus holds mixtures, too many
            clips are bad, or the disk is full.
    """
    out = Path(out)
    if any(isinstance(clip.location, Mixture) for clip in manifest.clips):
        raise UserError(
            "The corpus holds mixtures, which have no files of their own.",
            change="Pack the manifest that they were made of; shards can be mixed as well.",
        )
    ordered = sorted(manifest.clips, key=lambda clip: clip.id)
    paths = _shard_paths(out)
    packed = list(read_shards(out).clips) if paths else []
    bad = BadClips(len(ordered), max_bad_rate)
    with Meter("shard", len(ordered), done=len(packed), unit="clip") as meter:
        rest = _without_packed(manifest, ordered, packed, bad, out)
        with closing(
            compute_in_order(lambda clip: _load(manifest, clip), rest, workers=workers)
        ) as loaded:
            members = _leave_out_bad(zip(rest, loaded, strict=True), bad)
            numbered = _number(members, max_bytes, first=len(paths))
            for number, group in itertools.groupby(numbered, key=itemgetter(0)):
                path = out / f"shard-{number:05d}.tar"
                packed += _write_shard(path, (member for _, member in group), meter)
    if not packed:
        raise UserError(f"None of the {len(ordered)} clips can be packed.")
    facts = {
        **manifest.header.facts,
        "shards": len(_shard_paths(out)),
        "skipped_clips": dict(sorted(bad.reasons.items())),
    }
    result = Manifest(manifest.header.model_copy(update={"facts": facts}), tuple(packed), out)
    write_manifest(out / MANIFEST_NAME, result)
    return result


def read_shards(folder: Path) -> Manifest:
    """The manifest of the shards in a folder, made again from the shards alone.

    Raises:
        UserError: There are none, one is cut off, or one was not written by `write_shards`.
    """
    paths = _shard_paths(Path(folder))
    if not paths:
        raise UserError(f"{folder} holds no shards.", expected="shard-00000.tar ...")
    clips = tuple(clip for path in paths for clip in _read_shard(path))
    return Manifest(Header(facts={"shards": len(paths)}), clips, Path(folder))


def _shard_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.tar"))


def _without_packed(
    manifest: Manifest,
    ordered: Sequence[Clip],
    packed: Sequence[Clip],
    bad: BadClips,
    out: Path,
) -> list[Clip]:
    """The clips behind those that are packed; those among them have to be bad ones."""
    there: Mapping[str, Clip] = {clip.id: clip for clip in packed}
    last = packed[-1].id if packed else ""
    other = UserError(
        f"{out} holds shards of another corpus.",
        change="Choose another folder, or remove the shards.",
    )
    before = {clip.id for clip in ordered if clip.id <= last}
    if not there.keys() <= before:
        raise other
    for clip in ordered[: len(before)]:
        if clip.id in there:
            if clip_record(clip) != clip_record(there[clip.id]):
                raise other
            continue
        found = _load(manifest, clip)
        if not isinstance(found, AudioError):
            raise other
        bad.add(clip, found)
    return list(ordered[len(before) :])


def _load(manifest: Manifest, clip: Clip) -> _Member | AudioError:
    try:
        # Decoded in any case: a shard holds no sound that cannot be read.
        sound = read_clip(manifest, clip)
        if _is_whole(manifest, clip):
            content = clip_bytes(manifest, clip)
            suffix = _suffix(clip, content)
        else:
            content, suffix = encode(sound, ".wav", bits=32), ".wav"
    except AudioError as error:
        return error
    return _Member(clip, clip_record(clip), content, suffix)


def _is_whole(manifest: Manifest, clip: Clip) -> bool:
    if clip.location.start > 0:
        return False
    if clip.location.offset is not None:
        return True
    return probe(clip_path(manifest, clip)).duration <= clip.duration + TAIL_S


def _suffix(clip: Clip, content: bytes) -> str:
    if clip.location.offset is None:
        return Path(clip.location.path).suffix.lower()
    return "." + soundfile.info(io.BytesIO(content)).format.lower()


def clip_record(clip: Clip) -> bytes:
    """The JSON of a clip without its place, which the shard itself is."""
    values = clip.model_dump(mode="json", exclude={"location"}, exclude_none=True)
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode()


def _leave_out_bad(
    loaded: Iterable[tuple[Clip, _Member | AudioError]], bad: BadClips
) -> Iterator[_Member]:
    for clip, found in loaded:
        if isinstance(found, AudioError):
            bad.add(clip, found)
        else:
            yield found


def _number(
    members: Iterable[_Member], max_bytes: int, first: int
) -> Iterator[tuple[int, _Member]]:
    """Each member with the number of its shard: a shard is filled before the next one begins."""
    number, size = first, 0
    for member in members:
        if size and size + member.size > max_bytes:
            number, size = number + 1, 0
        size += member.size
        yield number, member


def _write_shard(path: Path, members: Iterable[_Member], meter: Meter) -> list[Clip]:
    packed: list[Clip] = []
    with (
        open_atomic(path) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for member in members:
            _add(tar, f"{member.clip.id}.json", member.record)
            offset = _add(tar, f"{member.clip.id}{member.suffix}", member.content)
            location = Location(path=path.name, offset=offset, length=len(member.content))
            packed.append(member.clip.model_copy(update={"location": location}))
            meter.advance()
    return packed


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Add a member that says nothing of when and by whom; gives the offset of its content."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    offset = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(entry, io.BytesIO(content))
    return offset


def _read_shard(path: Path) -> Iterator[Clip]:
    try:
        with tarfile.open(path, mode="r:") as tar:
            records: dict[str, bytes] = {}
            for entry in tar:
                key, _, suffix = entry.name.partition(".")
                if suffix == "json":
                    member = tar.extractfile(entry)
                    records[key] = member.read() if member else b""
                    continue
                values = json.loads(records.pop(key))
                location = {"path": path.name, "offset": entry.offset_data, "length": entry.size}
                yield Clip.model_validate({**values, "location": location})
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"The shard {path} is damaged: {error}.", change="Remove it.") from error
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise UserError(
            f"{path} is no shard of this program: a sound has no clip record beside it.",
            expected="shards written by `soundwright data shard`",
        ) from error
