"""What is noted of an error, and which errors are not one item's alone."""

import pytest

from soundwright.core.errors import AudioError, UserError
from soundwright.corpus.failures import Failure, PermanentError, TransientError, failure_of


def test_errors_of_an_item_become_failures():
    gone = PermanentError("It is gone.", reason="removed", attempts=3, change="Leave it.")
    assert failure_of(gone, "a1", "fetch") == Failure(
        item="a1",
        stage="fetch",
        kind="permanent",
        reason="removed",
        detail="It is gone.\n  to mend:  Leave it.",
        attempts=3,
    )
    busy = TransientError("Later.", reason="rate-limited", retry_after=7.0)
    failure = failure_of(busy, "a1", "fetch")
    assert (failure.kind, failure.reason, failure.attempts) == ("transient", "rate-limited", 1)
    cut = failure_of(AudioError("x.mp4 is cut off.", reason="truncated"), "b2", "decode")
    assert (cut.item, cut.stage, cut.kind, cut.reason) == ("b2", "decode", "permanent", "truncated")
    assert Failure.model_validate_json(cut.model_dump_json()) == cut


@pytest.mark.parametrize("error", [UserError("The disk is full."), KeyError("x")])
def test_errors_that_concern_more_than_the_item_are_raised(error):
    with pytest.raises(type(error)) as caught:
        failure_of(error, "a1", "fetch")
    assert caught.value is error
