"""The perturber that asks a chat model, as the paper asked GPT-4."""

from __future__ import annotations

from soundwright.preference.perturbation.instructions import REVISION, write_request
from soundwright.preference.perturbation.perturber import (
    PerturbedStrategy,
    Relation,
    find_fault,
    read_lines,
)
from soundwright.text.chat import ChatEndpoint


class ChatPerturber:
    """A `Perturber` that asks a chat model; what it says is not the same on every run.

    Args:
        endpoint: Is asked.
        is_related: Finds whether an answer has something to do with the caption.
    """

    def __init__(self, endpoint: ChatEndpoint, is_related: Relation) -> None:
        self._endpoint = endpoint
        self._is_related = is_related

    @property
    def name(self) -> str:
        """The model's."""
        return self._endpoint.config.model

    @property
    def identity(self) -> str:
        """Address, model and the revision of the instructions."""
        return f"chat/{self._endpoint.identity}/{REVISION}"

    def perturb(self, caption: str, strategy: PerturbedStrategy, count: int) -> list[str]:
        """See the protocol.

        Raises:
            ChatError: The endpoint is down, slow, or answers nonsense, as often as it was asked.
            UserError: It refuses the key, the model or the address.
        """

        def fault(answer: str) -> str | None:
            return find_fault(caption, read_lines(answer), count, self._is_related)

        return read_lines(self._endpoint.ask_until(write_request(caption, strategy, count), fault))
