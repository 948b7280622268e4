"""Tables with sound inside, as the package datasets reads them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from soundwright.core.errors import UserError
from soundwright.core.records import Clip
from soundwright.corpus.clip_values import best_caption
from soundwright.corpus.stages.selecting import subsets_of

ROWS_A_GROUP = 100
"""Sound makes rows heavy: a reader holds one group at a time."""

TEXTS = ("id", "caption", "licence", "licence_url", "author", "title", "dataset", "item", "url",
         "split", "subsets", "record")  # fmt: skip
NUMBERS = ("start", "end", "duration")


def write_table(packed: Sequence[tuple[Clip, bytes]]) -> bytes:
    """A Parquet file of clips and their sound files; equal clips give equal bytes.

    Columns: `audio` (bytes and name, which datasets decodes), `captions` and `tags` (lists),
    `scores` (JSON), `record` (JSON of all that is known), and the texts and numbers above.

    Raises:
        UserError: The package pyarrow is not installed.
    """
    arrow, parquet = _load_arrow()
    text, number = arrow.string(), arrow.float64()
    kinds = {
        "audio": arrow.struct([("bytes", arrow.binary()), ("path", text)]),
        **dict.fromkeys(TEXTS, text),
        **dict.fromkeys(NUMBERS, number),
        "sample_rate": arrow.int32(),
        "captions": arrow.list_(text),
        "tags": arrow.list_(text),
        "scores": text,
    }
    schema = arrow.schema(list(kinds.items()), metadata={"huggingface": json.dumps(_features())})
    table = arrow.Table.from_pylist([_row(clip, sound) for clip, sound in packed], schema=schema)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, row_group_size=ROWS_A_GROUP, compression="zstd")
    return buffer.getvalue()


def _row(clip: Clip, sound: bytes) -> dict[str, Any]:
    values = clip.model_dump(mode="json", exclude={"location"}, exclude_none=True)
    return {
        "id": clip.id,
        "audio": {"bytes": sound, "path": f"{clip.id}.flac"},
        "caption": best_caption(clip),
        "captions": [one.text for one in clip.captions],
        "tags": list(clip.tags),
        "duration": clip.duration,
        "sample_rate": clip.sample_rate,
        "licence": clip.licence.name,
        "licence_url": clip.licence.url,
        "author": clip.licence.author,
        "title": clip.licence.title or str(clip.metadata.get("title", "")),
        "dataset": clip.source.dataset,
        "item": clip.source.item,
        "url": clip.source.url,
        "start": clip.source.start,
        "end": clip.source.end,
        "split": clip.split,
        "subsets": " ".join(subsets_of(clip)),
        "scores": json.dumps(clip.scores, sort_keys=True),
        "record": json.dumps(values, ensure_ascii=False),
    }


def _features() -> dict[str, Any]:
    """What datasets is told of the columns: without it, `audio` would be bytes and a name."""

    def value(kind: str) -> dict[str, str]:
        return {"dtype": kind, "_type": "Value"}

    features: dict[str, Any] = {"audio": {"_type": "Audio"}}
    features |= {name: value("string") for name in TEXTS}
    features |= {name: value("float64") for name in NUMBERS}
    features["sample_rate"] = value("int32")
    features |= {
        name: {"feature": value("string"), "_type": "List"} for name in ("captions", "tags")
    }
    features["scores"] = value("string")
    return {"info": {"features": features}}


def _load_arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "Parquet needs the package pyarrow.",
            change='Install it with pip install "soundwright[corpus]", or export webdataset.',
        ) from error
    return pyarrow, parquet
