"""Texts that are encoded one by one."""

import torch

from soundwright.text.alone import encode_alone
from soundwright.text.encoders import TextEncoderConfig, load_text_encoder

TEXTS = ["wind", "a dog barks, then heavy rain falls on a tin roof", "", "rain", "wind"]


class Counting:
    """An encoder that notes what it is asked."""

    identity = "counting"

    def __init__(self, encoder):
        self.encoder, self.width, self.asked = encoder, encoder.width, []

    def encode(self, texts):
        self.asked.append(list(texts))
        return self.encoder.encode(texts)


def test_states_are_those_of_each_text_alone_bit_by_bit():
    encoder = Counting(load_text_encoder(TextEncoderConfig()))
    found = encode_alone(encoder, TEXTS)
    # Each once, whatever it stands beside.
    assert encoder.asked == [[text] for text in TEXTS[:4]]
    for row, text in enumerate(TEXTS):
        single = encoder.encode([text])
        size = single.states.shape[1]
        assert torch.equal(found.states[row, :size], single.states[0])
        assert torch.equal(found.mask[row, :size], single.mask[0])
        assert torch.equal(found.sentence[row], single.sentence[0])
        assert not found.mask[row, size:].any()
        assert not found.states[row, size:].any()
