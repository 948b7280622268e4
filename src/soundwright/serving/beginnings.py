"""Sounds that are continued: which one a request names, and its file when it is made."""

from __future__ import annotations

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes, hash_file
from soundwright.serving.bodies import SoundOfJob
from soundwright.serving.jobs import Plan
from soundwright.serving.problems import refuse
from soundwright.serving.shelf import Shelf
from soundwright.serving.store import Store


def find_beginning(store: Store, shelf: Shelf, given: str | SoundOfJob) -> tuple[str, str]:
    """Which sound a request continues, as `Plan.beginning` has it, and the hash of its file.

    Raises:
        ProblemError: 404, 410.
    """
    gone = refuse(
        410, "expired", "The sound to continue is not kept any more.", field="continue_from"
    )
    if isinstance(given, SoundOfJob):
        job = store.find(given.job)
        known = job is not None and given.sound < len(job.sounds)
        if job is None or not known or not job.sounds[given.sound].done:
            raise refuse(
                404, "not_found", "There is no such sound to continue.", field="continue_from"
            )
        path = shelf.place(given.job, given.sound, job.plan.format)
        if not path.is_file():
            raise gone
        return f"{given.job}/{given.sound}", hash_file(path)
    upload = store.find_upload(given)
    if upload is None:
        raise refuse(
            404, "not_found", "There is no such upload.", change="Send the sound first, to"
            " /v1/audio/uploads.", field="continue_from",
        )  # fmt: skip
    if not shelf.place_upload(given).is_file():
        raise gone
    return given, upload.hash


def read_beginning(store: Store, shelf: Shelf, plan: Plan) -> bytes | None:
    """The sound to continue; that it is the one that was asked for is checked.

    Raises:
        UserError: It is gone, or another.
    """
    if plan.beginning is None:
        return None
    job, _, number = plan.beginning.partition("/")
    if number:
        found = store.find(job)
        suffix = found.plan.format if found is not None else "wav"
        path = shelf.place(job, int(number), suffix)
    else:
        path = shelf.place_upload(job)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The sound to continue, {plan.beginning}, is not kept any more.",
            change="Send it again.",
        ) from error
    if hash_bytes(content) != plan.beginning_hash:
        raise UserError(f"The sound to continue, {plan.beginning}, has changed.")
    return content
