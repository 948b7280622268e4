import pytest
import torch

from soundwright.core.protocols import TextStates
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.evidence import TIMES, measure_evidence


@pytest.mark.parametrize("process", [{"kind": "noise"}, {"kind": "flow"}])
def test_evidence_is_the_error_without_the_text_less_the_error_with_it(make_unet, process):
    network = make_unet(process=process).eval()
    stream = torch.Generator().manual_seed(0)
    width = network.config.text_width
    latents = torch.randn(network.config.channels, 6, 4, generator=stream)
    states = torch.randn(1, 3, width, generator=stream)
    text = Conditions(TextStates(states, torch.ones(1, 3, dtype=torch.bool), states.mean(1)))
    found = measure_evidence(network, latents, text)

    noise = torch.randn(TIMES, *latents.shape, generator=torch_stream(0, "evidence"))
    difference = 0.0
    for number in range(TIMES):
        times = network.process.times_at(torch.tensor([(number + 0.5) / TIMES]))
        clean, one = latents[None], noise[number][None]
        noisy = network.process.corrupt(clean, one, times)
        target = network.process.target(clean, one, times)
        with torch.no_grad():
            for sign, drop in ((-1, False), (1, True)):
                hidden = torch.tensor([drop])
                prediction = network(noisy, times, text.hide(hidden))
                difference += sign * float((prediction - target).square().mean()) / TIMES
    assert found == pytest.approx(difference, abs=1e-5)
    assert found == measure_evidence(network, latents, text)

    negative = Conditions(TextStates(states.flip(1), text.text.mask, text.text.sentence))
    assert measure_evidence(network, latents, text, text) == pytest.approx(0, abs=1e-6)
    assert measure_evidence(network, latents, text, negative) != found
