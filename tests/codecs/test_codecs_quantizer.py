import copy
import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from soundwright.codecs.quantizer import (
    QuantizerConfig,
    ResidualQuantizer,
    code_statistics,
    k_means,
    nearest,
)
from soundwright.core.errors import ConfigError
from soundwright.core.seeding import initialising, torch_stream

NO_REPLACEMENT = {"dead_code_uses": 0.0}


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch_stream(seed, "test"), dtype=dtype)


def quantizer(dim=6, seed=0, **values):
    config = QuantizerConfig.read({"codebooks": 3, "codebook_size": 8, **values})
    with initialising(0, "test"):
        return ResidualQuantizer(dim, config, seed=seed).train()


def states_equal(left, right):
    right = right.state_dict()
    return all(torch.equal(value, right[name]) for name, value in left.state_dict().items())


def test_k_means_finds_well_separated_clusters():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    points = centres.repeat_interleave(25, 0) + 0.1 * noise(100, 2)
    means, uses = k_means(points, 4, 20, torch_stream(3, "test"))
    assert uses.sum() == 100
    # Each mean is the mean of the points nearest to it: a fixed point of Lloyd's algorithm.
    chosen = nearest(points, means)
    for index in range(4):
        torch.testing.assert_close(means[index], points[chosen == index].mean(0))


def test_spherical_k_means_stays_on_the_sphere():
    points = torch.nn.functional.normalize(noise(50, 3), dim=-1)
    means, _ = k_means(points, 5, 10, torch_stream(0, "test"), spherical=True)
    torch.testing.assert_close(means.norm(dim=1), torch.ones(5))


def test_nearest_equals_brute_force():
    vectors, codes = noise(4, 5, 6, dtype=torch.float64), noise(9, 6, seed=1, dtype=torch.float64)
    wanted = torch.cdist(vectors, codes.expand(4, -1, -1)).argmin(-1)
    assert torch.equal(nearest(vectors, codes), wanted)


def test_the_first_batch_starts_the_codebooks_with_k_means():
    module = quantizer(codebooks=1, kmeans_iterations=30)
    latents = noise(4, 6, 50)
    out = module(latents)
    level = module.levels[0]
    assert level.inited.item() == 1
    assert level.cluster_size.sum() == 200
    torch.testing.assert_close(level.embed_avg, level.embed * level.cluster_size[:, None])
    # Better than codes picked at random, which zero rounds of k-means are.
    picked = quantizer(codebooks=1, kmeans_iterations=0)(latents)
    assert out.commitment < 0.9 * picked.commitment


def test_fewer_vectors_than_codes_start_and_fill_up():
    module = quantizer(codebooks=1, codebook_size=64)
    module(noise(1, 6, 10))
    assert module.levels[0].cluster_size.gt(0).sum() == 10
    for step in range(8):
        module(noise(1, 6, 10, seed=step + 1))
    assert module.levels[0].cluster_size.gt(0).sum() == 64
    assert len(module.levels[0].embed.unique(dim=0)) == 64


def test_running_averages_equal_a_literal_version_in_float64():
    module = quantizer(**NO_REPLACEMENT).double()
    module(noise(4, 6, 50, dtype=torch.float64))
    K, size, decay, epsilon = 3, 8, module.config.decay, module.config.epsilon
    embed = [level.embed.numpy().copy() for level in module.levels]
    mean_uses = [level.cluster_size.numpy().copy() for level in module.levels]
    mean_sum = [level.embed_avg.numpy().copy() for level in module.levels]
    for step in range(5):
        latents = noise(2, 6, 20, seed=step + 1, dtype=torch.float64)
        mask = torch.ones(2, 20, dtype=torch.bool)
        mask[1, 13:] = False
        out = module(latents, mask)

        frames = latents.numpy().transpose(0, 2, 1)
        residual, valid = frames.reshape(-1, 6).copy(), mask.numpy().reshape(-1)
        total, commitment = np.zeros_like(residual), 0.0
        for k in range(K):
            codes = ((residual[:, None] - embed[k][None]) ** 2).sum(-1).argmin(1)
            assert np.array_equal(out.codes[:, k].reshape(-1).numpy(), codes)
            chosen = embed[k][codes]
            commitment += ((residual - chosen) ** 2)[valid].mean() / K
            for code in range(size):
                members = residual[valid & (codes == code)]
                mean_uses[k][code] = decay * mean_uses[k][code] + (1 - decay) * len(members)
                mean_sum[k][code] = decay * mean_sum[k][code] + (1 - decay) * members.sum(0)
            total_uses = mean_uses[k].sum()
            smooth = (mean_uses[k] + epsilon) / (total_uses + size * epsilon) * total_uses
            embed[k] = mean_sum[k] / smooth[:, None]
            total += chosen
            residual = residual - chosen
        quantized = out.quantized.numpy().transpose(0, 2, 1).reshape(-1, 6)
        np.testing.assert_allclose(quantized, total, atol=1e-12)
        assert out.commitment.item() == pytest.approx(commitment, rel=1e-10)
        for k, level in enumerate(module.levels):
            np.testing.assert_allclose(level.embed.numpy(), embed[k], atol=1e-10)
            np.testing.assert_allclose(level.cluster_size.numpy(), mean_uses[k], atol=1e-10)


def test_gradients_pass_straight_through_and_commitment_pulls_towards_the_codes():
    module = quantizer().double()
    module(noise(4, 6, 50, dtype=torch.float64))
    module.eval()
    latents = noise(2, 6, 5, seed=1, dtype=torch.float64).requires_grad_()
    weights = noise(2, 6, 5, seed=2, dtype=torch.float64)
    out = module(latents)
    (through,) = torch.autograd.grad((out.quantized * weights).sum(), latents, retain_graph=True)
    torch.testing.assert_close(through, weights)
    (pull,) = torch.autograd.grad(out.commitment, latents)
    partial = [module.decode(out.codes[:, :k]) for k in range(1, 4)]
    distances = sum(latents.detach() - part for part in partial)
    torch.testing.assert_close(pull, distances * 2 / latents.numel() / 3)


def test_dead_codes_are_replaced_by_vectors_of_the_batch_and_live_on():
    module = quantizer(codebooks=1)
    module(noise(4, 6, 50))
    level = module.levels[0]
    level.cluster_size[5] = 0.0
    level.embed_avg[5] = 0.0
    level.embed[5] = 1000.0
    latents = noise(4, 6, 50, seed=1)
    module(latents)
    vectors = latents.transpose(1, 2).reshape(-1, 6)
    assert (vectors == level.embed[5]).all(1).any()
    new = level.embed[5].clone()
    module(noise(4, 6, 50, seed=2))
    assert (level.embed[5] - new).norm() < 2.0
    assert module(noise(4, 6, 50, seed=3)).usage.item() == 1.0


def test_codes_that_do_their_part_of_a_small_batch_are_not_replaced():
    module = quantizer(codebooks=1, codebook_size=64)
    vectors = 10 * noise(64, 6)
    module(vectors.T[None])
    # One use a batch is below the threshold of 2, yet as much as an even use can be.
    before = module.levels[0].embed.clone()
    for _ in range(5):
        module(vectors.T[None])
    torch.testing.assert_close(module.levels[0].embed, before, rtol=1e-3, atol=1e-3)


def test_masked_frames_change_nothing_but_themselves():
    mask = torch.ones(2, 30, dtype=torch.bool)
    mask[0, 20:] = False
    modules, outs = [], []
    for rubbish in (0.0, 100.0):
        module = quantizer(projection=3)
        for step in range(3):
            latents = noise(2, 6, 30, seed=step)
            latents[0, :, 20:] = rubbish
            out = module(latents, mask)
        modules.append(module)
        outs.append(out)
    assert states_equal(*modules)
    assert outs[0].commitment == outs[1].commitment
    assert torch.equal(outs[0].codes[1], outs[1].codes[1])
    assert torch.equal(outs[0].codes[0, :, :20], outs[1].codes[0, :, :20])


@pytest.mark.parametrize(
    "values", [{}, {"projection": 3}, {"normalise_latents": True}, {"codebooks": 1}]
)
def test_encode_and_decode_equal_the_evaluated_module(values):
    module = quantizer(**values)
    for step in range(3):
        module(noise(4, 6, 20, seed=step))
    module.eval()
    latents = noise(2, 6, 20, seed=9)
    before = copy.deepcopy(module)
    out = module(latents)
    assert torch.equal(module.encode(latents), out.codes)
    torch.testing.assert_close(module.decode(out.codes), out.quantized)
    torch.testing.assert_close(module.encode(latents[1:]), out.codes[1:])
    assert states_equal(module, before)


def test_more_levels_come_nearer():
    module = quantizer(codebooks=4, codebook_size=32)
    for step in range(20):
        module(noise(4, 6, 50, seed=step))
    module.eval()
    latents = noise(2, 6, 50, seed=99)
    codes = module.encode(latents)
    errors = [(module.decode(codes[:, :k]) - latents).square().mean() for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.3 * errors[0]


def test_projected_codes_are_on_the_unit_sphere_and_their_projections_learn():
    module = quantizer(projection=3)
    latents = noise(4, 6, 20).requires_grad_()
    for _ in range(3):
        out = module(latents)
    (out.quantized.square().sum() + out.commitment).backward()
    for level in module.levels:
        torch.testing.assert_close(level.embed.norm(dim=1), torch.ones(8))
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())
    assert latents.grad.any()


def test_dropout_leaves_out_the_last_levels_of_some_items_only_in_training():
    module = quantizer(codebooks=4, dropout=1.0, **NO_REPLACEMENT)
    module(noise(32, 6, 4))
    latents = noise(32, 6, 4, seed=1)
    frozen = copy.deepcopy(module)
    out = module(latents)
    partial = torch.stack([frozen.decode(out.codes[:, :k]) for k in range(1, 5)])
    matches = torch.isclose(partial, out.quantized, atol=1e-6).flatten(2).all(2)
    assert matches.any(0).all()
    assert matches.any(1).all()
    frozen.eval()
    out = frozen(latents)
    torch.testing.assert_close(out.quantized, frozen.decode(out.codes))


@pytest.mark.parametrize("values", [{"dropout": 0.5}, {"projection": 3}])
def test_a_resumed_quantizer_goes_on_as_if_it_had_not_stopped(values):
    whole = quantizer(**values)
    for step in range(4):
        whole(noise(2, 6, 9, seed=step))
    resumed = quantizer(**values)
    resumed.load_state_dict(whole.state_dict())
    for step in range(4, 8):
        left, right = (module(noise(2, 6, 9, seed=step)) for module in (whole, resumed))
        assert torch.equal(left.quantized, right.quantized)
    assert states_equal(whole, resumed)
    other = quantizer(seed=1, **values)
    for step in range(8):
        other(noise(2, 6, 9, seed=step))
    assert not states_equal(whole, other)


def test_statistics_of_known_uses():
    uses = torch.tensor([[10.0, 10.0, 10.0, 10.0], [40.0, 0.0, 0.0, 0.0], [20.0, 20.0, 0.1, 0.0]])
    usage, perplexity = code_statistics(uses)
    assert usage.tolist() == [1.0, 0.25, 0.5]
    assert perplexity[:2].tolist() == pytest.approx([4.0, 1.0])
    shares = [20 / 40.1, 20 / 40.1, 0.1 / 40.1]
    assert perplexity[2].item() == pytest.approx(math.exp(-sum(s * math.log(s) for s in shares)))


def test_bf16_autocast_leaves_the_quantizer_in_fp32():
    plain, mixed = quantizer(projection=3), quantizer(projection=3)
    latents = noise(2, 6, 20)
    wanted = plain(latents)
    with torch.autocast("cpu", torch.bfloat16):
        got = mixed(latents)
    assert torch.equal(wanted.quantized, got.quantized)
    assert states_equal(plain, mixed)


@pytest.mark.parametrize(
    ("values", "word"),
    [({"decay": 1.0}, "decay"), ({"codebooks": 0}, "codebooks"), ({"codebok": 1}, "codebooks")],
)
def test_bad_configuration_names_the_key(values, word):
    with pytest.raises(ConfigError, match=word):
        QuantizerConfig.read(values)


def _rank(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    module = quantizer()
    for step in range(4):
        module(noise(4, 6, 20, seed=step)[2 * rank : 2 * rank + 2])
    torch.save(module.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_keep_one_codebook(tmp_path):
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    left, right = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert all(torch.equal(left[name], right[name]) for name in left)
    # Uses of both ranks are counted: the start has rank 0's 40, each batch brings 80.
    total = 40.0
    for _ in range(3):
        total += 0.01 * (80 - total)
    assert left["own_codebooks.0.cluster_size"].sum().item() == pytest.approx(total, rel=0.02)
