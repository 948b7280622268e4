"""Captions to make sounds of: many that differ from each other, and all that tell of time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.core.packs import Packs
from soundwright.core.progress import Meter
from soundwright.core.protocols import TextEncoder
from soundwright.core.seeding import derive_seed, numpy_stream
from soundwright.data.manifest import read_manifest
from soundwright.pipelines.requests import LONGEST_PROMPT
from soundwright.preference.record_files import (
    RecordFile,
    is_written,
    read_records,
    write_records,
)
from soundwright.preference.records import SelectedCaption, caption_id
from soundwright.text.concepts import is_temporal
from soundwright.text.encoders import TextEncoderConfig

KIND = "captions"
MANIFEST_SUFFIX = ".jsonl"
ENCODERS: Mapping[str, TextEncoderConfig] = MappingProxyType(
    {
        "minilm": TextEncoderConfig(),
        "gte-large": TextEncoderConfig(kind="t5", name="thenlper/gte-large", max_tokens=512),
    }
)
"""Sentence encoders by name. The paper's is the second: a BERT whose sentence vector, like that of
every encoder here, is the mean of its states."""
PACK_TEXTS = 256
Count = Annotated[int, Field(ge=1)]


class CaptionChoice(Config):
    """How many captions are selected, and how; the paper's numbers are the default."""

    clusters: Count = 200
    each: Count = 70
    """Captions of each cluster, drawn by the seed."""
    seed: int = 0


def encoder_config(name: str) -> TextEncoderConfig:
    """The sentence encoder called `name`: a key of `ENCODERS`, a folder, or a name on the hub."""
    return ENCODERS.get(name) or TextEncoderConfig(kind="t5", name=name, max_tokens=512)


def read_captions(path: Path, split: str | None = None) -> list[str]:
    """The captions of a manifest (.jsonl), or the lines of a text file.

    Args:
        path: The file.
        split: Only clips of this split; None takes all.

    Raises:
        UserError: The file is missing or damaged, or there is no caption that can be generated
            from.
    """
    if path.suffix == MANIFEST_SUFFIX:
        clips = [one for one in read_manifest(path).clips if split in (None, one.split)]
        texts = [caption.text for clip in clips for caption in clip.captions]
    elif split is not None:
        raise UserError(f"{path} has no splits.", expected=f"a manifest ({MANIFEST_SUFFIX})")
    else:
        texts = _read_lines(path)
    usable = [" ".join(text.split()) for text in texts]
    found = list(dict.fromkeys(text for text in usable if 0 < len(text) <= LONGEST_PROMPT))
    if not found:
        raise UserError(
            f"{path} holds no caption{f' of the split {split}' if split else ''}.",
            expected=f"texts of at most {LONGEST_PROMPT} characters",
        )
    return found


def embed_captions(texts: Sequence[str], encoder: TextEncoder, folder: Path) -> NDArray[np.float32]:
    """Sentence vectors [N, D] of length one; each is computed once and kept in `folder`.

    Args:
        texts: Captions, no two alike.
        encoder: Of sentences.
        folder: Of this encoder's vectors; any number of runs may share it.
    """
    packs = Packs(folder / hash_bytes(encoder.identity.encode())[:16], ("sentence",))
    keys = [caption_id(text) for text in texts]
    missing = [number for number, key in enumerate(keys) if key not in packs]
    with Meter("embed", len(texts), done=len(texts) - len(missing), unit="caption") as meter:
        for first in range(0, len(missing), PACK_TEXTS):
            part = missing[first : first + PACK_TEXTS]
            vectors = encoder.encode([texts[number] for number in part]).sentence.cpu()
            packs.write(
                {keys[number]: {"sentence": row} for number, row in zip(part, vectors, strict=True)}
            )
            meter.advance(len(part))
    known = packs.read(keys)
    lost = [number for number, key in enumerate(keys) if key not in known]
    if lost:  # Packs that were damaged are gone now.
        return embed_captions(texts, encoder, folder)
    return torch.stack([known[key]["sentence"] for key in keys]).numpy()


def select_captions(
    texts: Sequence[str], vectors: NDArray[np.float32], choice: CaptionChoice
) -> list[SelectedCaption]:
    """Some captions of each cluster, and all captions that tell of time, in their order.

    Args:
        texts: Captions, no two alike.
        vectors: [N, D], theirs.
        choice: How many. There are fewer clusters where there are fewer different vectors, and a
            smaller cluster is taken whole.

    Raises:
        UserError: scikit-learn is not installed.
    """
    clusters = cluster(vectors, choice.clusters, choice.seed)
    chosen: dict[int, int] = {}
    for number in np.unique(clusters).tolist():
        members = np.flatnonzero(clusters == number)
        if len(members) > choice.each:
            stream = numpy_stream(choice.seed, "captions", number)
            members = stream.choice(members, choice.each, replace=False)
        for member in members.tolist():
            chosen[member] = number
    return [
        SelectedCaption(
            id=caption_id(text), text=text, cluster=chosen.get(row), temporal=is_temporal(text)
        )
        for row, text in enumerate(texts)
        if row in chosen or is_temporal(text)
    ]


def cluster(vectors: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """The number of the cluster of each vector, [N]; K-means, the same on every run.

    Clusters are numbered by their first member.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise UserError(
            "Clustering needs scikit-learn, which is not installed.",
            change='pip install "soundwright[train]"',
        ) from error
    count = min(count, len(np.unique(vectors, axis=0)))
    means = KMeans(count, random_state=derive_seed(seed, "clusters") % (1 << 32))
    # Threads would add up in another order on every run.
    with threadpool_limits(1):
        found = means.fit_predict(vectors)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    ranks = np.argsort(np.argsort(first))
    return ranks[inverse]


def write_captions(
    out: Path, texts: Sequence[str], encoder: TextEncoder, choice: CaptionChoice
) -> dict[str, Any]:
    """Select captions and write them to `out`, unless that is done.

    Args:
        out: The file; vectors are kept beside it.
        texts: From `read_captions`.
        encoder: Of sentences.
        choice: How many.

    Returns:
        Numbers of captions read, selected and temporal, and of clusters.

    Raises:
        UserError: `out` holds the selection from something else.
    """
    made_of = [encoder.identity, choice.plain(), list(texts)]
    fingerprint = hash_bytes(json.dumps(made_of).encode())[:16]
    if not is_written(out, KIND, fingerprint):
        vectors = embed_captions(texts, encoder, out.with_name(out.name + ".vectors"))
        selected = select_captions(texts, vectors, choice)
        facts = {**count_captions(selected), "read": len(texts), "choice": choice.plain()}
        write_records(out, KIND, fingerprint, facts, selected)
    return dict(read_selected(out).facts)


def read_selected(path: Path) -> RecordFile[SelectedCaption]:
    """Read what `write_captions` wrote.

    Raises:
        UserError: The file is missing or holds something else.
    """
    return read_records(path, KIND, SelectedCaption)


def count_captions(captions: Sequence[SelectedCaption]) -> dict[str, int]:
    """How many there are of which kind."""
    clustered = [one.cluster for one in captions if one.cluster is not None]
    return {
        "selected": len(clustered),
        "clusters": len(set(clustered)),
        "temporal": sum(one.temporal for one in captions),
    }


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise UserError(f"The captions in {path} cannot be read: {reason}.") from error
