"""`soundwright data concepts`: which events captions name, for the splits of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundwright.cli.chat import ChatModelOption, ChatOption, open_endpoint
from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_text


def concepts(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the folder that holds one.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    chat: ChatOption = None,
    chat_model: ChatModelOption = None,
    settings: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Note how many events each clip's caption names, as Tango 2 counts them for its Table 4.

    With --chat, --set takes key_variable, timeout, attempts, pause and longest_pause. No caption is
    asked about twice: the same command goes on.

    Example: soundwright data concepts data/audiocaps --out data/counted
    """
    from collections import Counter

    from soundwright.core.journal import journal_of
    from soundwright.data.concepts import COUNT_KEY, RuleConcepts, note_concepts
    from soundwright.data.manifest import MANIFEST_NAME, read_manifest, relocated, write_manifest
    from soundwright.text.concept_chat import ChatConcepts

    endpoint = open_endpoint(chat, chat_model, settings or ())
    extractor = RuleConcepts() if endpoint is None else ChatConcepts(endpoint)
    path = out / MANIFEST_NAME
    found = note_concepts(read_manifest(manifest), extractor, journal_of(path))
    write_manifest(path, relocated(found, out))
    counts = Counter(clip.metadata[COUNT_KEY] for clip in found.clips if clip.captions)
    if json:
        by = {str(count): counts[count] for count in sorted(counts)}
        emit_json({"manifest": str(path), "by": extractor.name, "clips": by})
        return
    told = ", ".join(f"{counts[count]} of {count}" for count in sorted(counts))
    emit_text(f"{path}: concepts by {extractor.name}; clips: {told}")
