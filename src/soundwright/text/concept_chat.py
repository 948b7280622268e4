"""The events of a caption, told by a chat model: Tango 2's Table 6, in words of our own.

The paper found rules wanting and asked GPT-4. The model is asked to go through the caption step by
step before it lists the events, with examples in the form that its answer shall have.
"""

from __future__ import annotations

import ast
import re

from soundwright.text.chat import ChatEndpoint

REVISION = 1
"""Raised with any change to the words: answers to other words are other answers."""
MOST_CONCEPTS = 50
_LIST = re.compile(r"\[[^\[\]]*\]", re.DOTALL)
_REQUEST = """\
Find the events in the caption of an audio clip that cannot be divided any further. Imagine that you
hear the clip: tell first, one after another, what you hear, then list the events in that order, as
a list of strings in square brackets. Think step by step, and do not begin with the list.

Caption: A truck's engine idles and rattles, a door slams shut, and the truck drives off
Answer: First a truck's engine idles. The engine rattles as well. Then a door slams shut. In the end
the truck drives off.
Events: ["a truck's engine idles", "an engine rattles", "a door slams shut", "a truck drives off"]

Caption: Rain falling on a roof while children laugh and a woman sings quietly
Answer: I hear rain that falls on a roof. Children laugh at the same time. A woman sings quietly.
Events: ["rain falling on a roof", "children laughing", "a woman singing quietly"]

Caption: A dog barking and then whining
Answer: First a dog barks. Then it whines.
Events: ["a dog barking", "a dog whining"]

Now the caption whose events are wanted; keep to the form of these examples.

Caption: {caption}
Answer:"""


class ChatConcepts:
    """Tells the events of captions by asking a chat model.

    Args:
        endpoint: Is asked.
    """

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self._endpoint = endpoint

    @property
    def name(self) -> str:
        """The model's."""
        return self._endpoint.config.model

    @property
    def identity(self) -> str:
        """Address, model and the revision of what is asked."""
        return f"concepts/{self._endpoint.identity}/{REVISION}"

    def extract(self, caption: str) -> list[str]:
        """The events of a caption, in their order; at least one.

        Raises:
            ChatError: The endpoint is down, slow, or answers nonsense, as often as it was asked.
            UserError: It refuses the key, the model or the address.
        """
        request = _REQUEST.format(caption=" ".join(caption.split()))
        return read_concepts(self._endpoint.ask_until(request, find_fault))


def find_fault(answer: str) -> str | None:
    """Why an answer cannot be used; None where it can."""
    concepts = read_concepts(answer)
    if not concepts:
        return "no list of events"
    if len(concepts) > MOST_CONCEPTS:
        return f"{len(concepts)} events"
    return None


def read_concepts(answer: str) -> list[str]:
    """The last list of strings in an answer, without those that are empty; else an empty list."""
    for found in reversed(_LIST.findall(answer)):
        try:
            items = ast.literal_eval(found)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        texts = [" ".join(item.split()) for item in items if isinstance(item, str)]
        if texts and len(texts) == len(items):
            return [text for text in texts if text]
    return []
