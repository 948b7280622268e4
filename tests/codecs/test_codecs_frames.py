import torch

from soundwright.codecs.frames import frame_count, frame_mask, pad_to_frames


def test_lengths_round_up_to_whole_frames():
    assert [frame_count(n, 4) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]
    padded = pad_to_frames(torch.ones(2, 1, 5), 4)
    assert padded.shape == (2, 1, 8)
    assert padded[0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    whole = torch.ones(1, 1, 8)
    assert pad_to_frames(whole, 4) is whole


def test_a_frame_is_valid_if_any_of_its_samples_is():
    mask = torch.tensor([[True] * 5 + [False] * 5, [True] * 10])
    assert frame_mask(mask, 4).tolist() == [[True, True, False], [True, True, True]]
