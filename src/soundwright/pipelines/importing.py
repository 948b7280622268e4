"""Public weights in: models of transformers, AudioCraft and Tango become model folders of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from soundwright import __version__
from soundwright.core.errors import CheckpointError, MissingWeightsError, UserError
from soundwright.core.files import cache_folder, read_json
from soundwright.core.hub import PRETRAINED_FILES, fetch_folder
from soundwright.diffusion.tango_weights import MAIN_CONFIG
from soundwright.pipelines.audiocraft_files import (
    CODEC_FILE,
    LM_FILE,
    CodecElsewhereError,
    read_audiocraft,
    read_compression,
)
from soundwright.pipelines.foreign import ForeignModel, ImportOptions
from soundwright.pipelines.licences import README, read_licence
from soundwright.pipelines.models import RECORD_FILE, ModelRecord, write_model
from soundwright.pipelines.musicgen_folders import read_encodec, read_musicgen
from soundwright.pipelines.tango_folders import FILES as TANGO_FILES
from soundwright.pipelines.tango_folders import is_tango, read_tango_model

Format = Literal["auto", "transformers", "audiocraft", "tango"]

_SUPPORTED = (
    "MusicGen (mono or stereo), AudioGen or EnCodec, of transformers or of AudioCraft; Tango or "
    "Tango 2"
)
_MELODY = (
    "it is conditioned by a melody besides the text, which no part of Soundwright reads. "
    "facebook/musicgen-medium has the same size without it."
)
_REFUSED: Mapping[str, str] = {
    "musicgen_melody": _MELODY,
    "dac": "it is a codec of another architecture than EnCodec.",
    "musicgen_decoder": "it is a decoder alone, without its codec and text encoder.",
}


@dataclass(frozen=True)
class Imported:
    """What an import left behind."""

    folder: Path
    record: ModelRecord
    notes: tuple[str, ...]
    """What a person should know about the model."""


def import_model(
    source: str | Path,
    out: Path | None = None,
    *,
    name: str | None = None,
    licence: str | None = None,
    format: Format = "auto",  # noqa: A002 - what the option is called
    options: ImportOptions | None = None,
) -> Imported:
    """Make a model folder of a model of another library.

    Weights go from file to file tensor by tensor; a large model needs no more memory than its
    codec. Pickled files are read without running what stands in them.

    Args:
        source: A folder, a file of AudioCraft, or owner/name on the hub.
        out: The new folder; by default `models/<name>` of the cache, where the model is found
            by its name.
        name: What the model is called; by default as its source.
        licence: Terms of the weights; by default what the source states.
        format: Whose files to read where a folder has both.
        options: What to change about the model.

    Raises:
        UserError: There is no such source, or `out` exists.
        CheckpointError: It is another architecture, damaged, or would run code.
        MissingWeightsError: A part of it is neither here nor reachable.
    """
    options = options or ImportOptions()
    name = _check_name(name or _name_of(source))
    out = cache_folder() / "models" / name if out is None else Path(out)
    _check_out(out)
    place = _find(source, format)
    model = _read(place, format, options)
    terms = licence or read_licence(place if place.is_dir() else place.parent, str(source))
    origin = {
        "source": str(source),
        "format": _format_of(place, format),
        **({"revision": place.name} if place.parent.name == "snapshots" else {}),
    }
    record = write_model(
        out,
        kind=model.kind,
        name=name,
        parts=model.parts,
        settings=model.settings,
        recipe={"imported": origin},
        licence=terms,
        card=_write_card(name, model, origin, terms),
        storage=model.storage,
        text_encoder=model.text_encoder,
    )
    return Imported(out, record, model.notes)


def find_folder(name: str | None, what: str) -> Path | None:
    """A folder, or one fetched from the hub by its name; None stays None.

    Args:
        name: What was given.
        what: What it is, such as "codec", for messages.

    Raises:
        UserError: There is no such folder.
        MissingWeightsError: The hub is needed and does not give it.
    """
    if name is None:
        return None
    place = Path(name).expanduser()
    if place.exists():
        return place
    if not re.fullmatch(r"([\w.-]+/)?[\w.-]+", name):
        raise UserError(f"There is no {what} {name}.", expected="a folder, or a name on the hub")
    return fetch_folder(name, PRETRAINED_FILES, what=what)


def _read(place: Path, format_: Format, options: ImportOptions) -> ForeignModel:
    kind_of_files = _format_of(place, format_)
    if kind_of_files == "tango":
        return read_tango_model(place, options)
    if kind_of_files == "transformers":
        kind = _model_type(place)
        if kind == "musicgen":
            return read_musicgen(place, options)
        if kind == "encodec":
            return read_encodec(place, options)
        why = _REFUSED.get(str(kind), "it is no architecture that Soundwright has.")
        raise CheckpointError(f"{place} is a {kind}: {why}", expected=_SUPPORTED)
    try:
        if place.is_dir() and (place / LM_FILE).is_file():
            return read_audiocraft(place, options)
        return read_compression(place / CODEC_FILE if place.is_dir() else place, options)
    except CodecElsewhereError as error:
        codec = _fetch_codec(error)
        return _read(place, format_, replace(options, codec=codec))


def _find(source: str | Path, format_: Format) -> Path:
    """The folder or file of a source, fetched if need be."""
    place = Path(source).expanduser()
    if place.is_file() and place.name == LM_FILE:
        place = place.parent
    if place.is_file():
        return place
    if place.is_dir():
        _check_folder(place, format_)
        return place
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        raise UserError(
            f"There is no {source}.",
            expected="a folder, or owner/name on the hub such as facebook/musicgen-small",
        )
    if format_ in ("auto", "transformers"):
        folder = fetch_folder(str(source), (*PRETRAINED_FILES, README))
        if (folder / "config.json").is_file():
            return folder
    folder = fetch_folder(str(source), (LM_FILE, CODEC_FILE, *TANGO_FILES, README))
    _check_folder(folder, format_)
    return folder


def _check_folder(folder: Path, format_: Format) -> None:
    if (folder / RECORD_FILE).is_file():
        raise UserError(
            f"{folder} is a model of Soundwright already.", change="Use it as it is, by its path."
        )
    wanted = {
        "auto": ("config.json", LM_FILE, CODEC_FILE, MAIN_CONFIG),
        "transformers": ("config.json",),
        "audiocraft": (LM_FILE, CODEC_FILE),
        "tango": (MAIN_CONFIG,),
    }[format_]
    if not any((folder / file).is_file() for file in wanted):
        raise MissingWeightsError(
            f"{folder} has none of {', '.join(wanted)}.", expected=f"a folder with {_SUPPORTED}"
        )


def _format_of(place: Path, format_: Format) -> str:
    """Whose files a folder has; transformers' and Tango's come before AudioCraft's."""
    if place.is_file():
        return "audiocraft"
    if format_ != "auto":
        return format_
    if (place / "config.json").is_file():
        return "transformers"
    return "tango" if is_tango(place) else "audiocraft"


def _model_type(folder: Path) -> Any:
    values = read_json(folder / "config.json")
    return values.get("model_type") if isinstance(values, dict) else None


def _fetch_codec(error: CodecElsewhereError) -> Path:
    if error.name.startswith("dac_"):
        raise CheckpointError(
            f"The checkpoint speaks {error.name}: {_REFUSED['dac']}", expected="EnCodec"
        ) from error
    try:
        return fetch_folder(error.name, PRETRAINED_FILES, what="codec")
    except MissingWeightsError as missing:
        raise error from missing


def _name_of(source: str | Path) -> str:
    path = Path(source).expanduser()
    return path.resolve().parent.name if path.is_file() else path.name or path.resolve().name


def _check_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UserError(
            f"{name!r} is no name for a model.",
            expected="letters, digits and . _ + -, beginning with a letter or digit",
            change="Give one with --name.",
        )
    return name


def _check_out(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(
            f"{out} exists already.", change="Choose another folder (--out) or remove it."
        )


def _write_card(name: str, model: ForeignModel, origin: Mapping[str, str], licence: str) -> str:
    rows = {
        "made of": f"{origin['source']}, in {origin['format']}'s format",
        "revision": origin.get("revision", ""),
        "licence of the weights": licence,
        "imported by": f"soundwright {__version__}, `soundwright models import`",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items() if value)
    notes = "\n".join(f"- {note}" for note in model.notes)
    sections = [
        f"# {name}",
        "Weights that others trained and published, in Soundwright's format.",
        f"| | |\n|---|---|\n{table}",
        "What they were trained on, and how they were measured, their publishers say at the "
        "source.",
        notes,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"
