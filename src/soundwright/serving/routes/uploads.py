"""Sounds that clients send, to be continued."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from soundwright.core.errors import AudioError
from soundwright.core.records import Record
from soundwright.serving.context import Context, Running
from soundwright.serving.faults import kind_of, refuse_kind
from soundwright.serving.problems import ProblemError, describe_error, refuse

router = APIRouter(prefix="/v1/audio/uploads", tags=["sounds"])


class UploadView(Record):
    """A sound that was sent."""

    id: str
    """What `continue_from` takes."""
    duration: float
    """Seconds."""
    sample_rate: int
    channels: int


KINDS = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "application/octet-stream")
"""Told as examples; any other audio/... is taken too, since only the bytes count."""
BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in KINDS},
    }
}


@router.post("", status_code=201, openapi_extra=BODY)
async def upload(request: Request, running: Running) -> UploadView:
    """Send a sound: the bytes of a WAV, FLAC, Ogg or MP3 file as the body."""
    kind = kind_of(request)
    if not kind.startswith("audio/") and kind not in (*KINDS, "application/ogg"):
        raise refuse_kind(kind, "the bytes of a sound file, with Content-Type: audio/wav or alike")
    content = await request.body()
    if not content:
        raise refuse(422, "invalid", "The upload is empty.", expected="the bytes of a sound file")
    return await run_in_threadpool(_keep, running, content)


def _keep(running: Context, content: bytes) -> UploadView:
    identity = f"upload-{secrets.token_hex(10)}"
    digest = running.shelf.put_upload(identity, content)
    try:
        facts = running.listener.listen(running.shelf.place_upload(identity))
        running.store.add_upload(facts, digest, len(content), identity)
    except AudioError as error:
        running.shelf.remove_upload(identity)
        raise ProblemError(422, describe_error(error)) from error
    except BaseException:
        running.shelf.remove_upload(identity)
        raise
    return UploadView(id=identity, **facts)
