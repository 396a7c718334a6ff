"""Networks and losses of hypernetworks: sizes against the paper's, outputs against torch's own layers and hand-written sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexigraft.errors import ConfigError, InputError
from lexigraft.hypernetwork.losses import MEASURES, contrastive_loss, hypernetwork_loss, normalized_l1, split_loss
from lexigraft.hypernetwork.networks import SetNetwork, network_of
from lexigraft.hypernetwork.networks.bilstm import BiLSTM
from lexigraft.hypernetwork.networks.setformer import Setformer
from lexigraft.hypernetwork.settings import BiLSTMHypernetwork, SetformerHypernetwork, SetSettings
from lexigraft.hypernetwork.split import split_pairs
from lexigraft.workflow.code_digests import import_closure

SMALL: dict[str, SetSettings] = {
    "bilstm": BiLSTMHypernetwork(kind="bilstm", hidden=5),
    "setformer": SetformerHypernetwork(kind="setformer", layers=2, heads=2, feed_forward=7),
}


def small(kind: str) -> SetNetwork:
    torch.manual_seed(0)
    return network_of(SMALL[kind], 4, 3).eval()


def parameters_of(options: SetSettings, rank: int) -> int:
    with torch.device("meta"):
        network = network_of(options, 200, rank)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("rank", "layers", "hidden", "millions"),
    [
        (100, 2, 800, 22.1),
        (200, 2, 800, 22.5),
        (400, 2, 1600, 87.4),
        (100, 4, 800, 52.9),
        (200, 4, 800, 53.3),
        (400, 4, 1600, 210.3),
    ],
)
def test_bilstms_have_the_papers_number_of_parameters(rank: int, layers: int, hidden: int, millions: float) -> None:
    options = BiLSTMHypernetwork(kind="bilstm", layers=layers, hidden=hidden)
    assert parameters_of(options, rank) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("rank", "exact"), [(100, 22_555_500), (200, 22_655_800), (400, 22_976_400)])
def test_the_setformer_has_the_papers_number_of_parameters(rank: int, exact: int) -> None:
    """22 M; by hand: 28 layers of attention 4 (200^2 + 200), feed-forward, two LayerNorms, and the head."""
    layer = 4 * (200 * 200 + 200) + (200 * 1600 + 1600) + (1600 * 200 + 200) + 2 * 400
    head = (200 * 2 * rank + 2 * rank) + (2 * rank * rank + rank)
    assert parameters_of(SetformerHypernetwork(kind="setformer"), rank) == 28 * layer + head == exact


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"10 attention heads do not divide word vectors of width 64") as error:
        network_of(SetformerHypernetwork(kind="setformer"), 64, 8)
    assert "`heads` to 8" in str(error.value)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_bilstm_is_torchs_packed_bidirectional_lstm(layers: int) -> None:
    """Same weights: final states of the last layer in both directions, and gradients."""
    torch.manual_seed(0)
    network = BiLSTM(4, 3, BiLSTMHypernetwork(kind="bilstm", hidden=5, layers=layers)).eval()
    assert network.reads_order
    reference = torch.nn.LSTM(4, 5, layers, batch_first=True, bidirectional=True).eval()
    for layer in range(layers):
        for ours, suffix in ((network.onward, ""), (network.backward_, "_reverse")):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                with torch.no_grad():
                    getattr(reference, f"{name}_l{layer}{suffix}").copy_(getattr(ours[layer], f"{name}_l0"))
    vectors, lengths = torch.randn(6, 9, 4), torch.tensor([3, 9, 1, 5, 9, 2])
    packed = torch.nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    _, (hidden, _) = reference(packed)
    expected = network.head(torch.cat([hidden[-2], hidden[-1]], dim=1))
    rows = network(vectors, lengths)
    torch.testing.assert_close(rows, expected)
    ours = torch.autograd.grad(rows.square().sum(), list(network.onward.parameters()), retain_graph=True)
    theirs = torch.autograd.grad(expected.square().sum(), [p for n, p in reference.named_parameters() if "reverse" not in n])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def layer_norm(rows: np.ndarray, norm: torch.nn.LayerNorm) -> np.ndarray:
    centerd = rows - rows.mean(axis=1, keepdims=True)
    scaled = centerd / np.sqrt(rows.var(axis=1, keepdims=True) + norm.eps)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def test_the_setformer_is_a_hand_written_transformer_without_positions() -> None:
    """Float64 numpy: attention over the words, ReLU feed-forward, LayerNorm after each sum, mean, head."""
    torch.manual_seed(1)
    network = Setformer(6, 3, SetformerHypernetwork(kind="setformer", layers=2, heads=2, feed_forward=9)).double().eval()
    for parameter in network.parameters():  # torch starts biases at 0 and norms at 1: mistakes there would not show
        torch.nn.init.normal_(parameter, std=0.5)
    words = np.random.default_rng(0).standard_normal((5, 6))
    states = words
    for layer in network.encoder.layers:
        weight, bias = layer.self_attn.in_proj_weight.detach().numpy(), layer.self_attn.in_proj_bias.detach().numpy()
        queries, keys, values = np.split(states @ weight.T + bias, 3, axis=1)
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            scores = np.exp(queries[:, part] @ keys[:, part].T / np.sqrt(3))
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ values[:, part])
        out = layer.self_attn.out_proj
        mixed = np.hstack(heads) @ out.weight.detach().numpy().T + out.bias.detach().numpy()
        states = layer_norm(states + mixed, layer.norm1)
        inner = np.maximum(states @ layer.linear1.weight.detach().numpy().T + layer.linear1.bias.detach().numpy(), 0)
        outer = inner @ layer.linear2.weight.detach().numpy().T + layer.linear2.bias.detach().numpy()
        states = layer_norm(states + outer, layer.norm2)
    first, last = network.head[0], network.head[3]
    gelu = torch.nn.functional.gelu(torch.from_numpy(states.mean(axis=0)) @ first.weight.T + first.bias)
    expected = gelu @ last.weight.T + last.bias
    with torch.no_grad():
        rows = network(torch.from_numpy(words)[None], torch.tensor([5]))
    torch.testing.assert_close(rows[0], expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), words=st.integers(1, 12), training=st.booleans())
def test_the_setformer_does_not_see_the_order_of_words(seed: int, words: int, training: bool) -> None:
    network = small("setformer")
    if training:  # the other of torch's two code paths; without dropout it must give the same
        network.train()
        for module in network.modules():
            if hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.dropout = 0.0
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(1, words, 4, generator=generator)
    shuffled = vectors[:, torch.randperm(words, generator=generator)]
    with torch.no_grad():
        rows = network(torch.cat([vectors, shuffled]), torch.tensor([words, words]))
    torch.testing.assert_close(rows[0], rows[1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", list(SMALL))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), padding=st.integers(1, 9))
def test_padding_changes_nothing(kind: str, seed: int, padding: int) -> None:
    network, generator = small(kind), torch.Generator().manual_seed(seed)
    vectors = torch.randn(1, 3, 4, generator=generator)
    longer = torch.randn(1, 3 + padding, 4, generator=generator)
    padded = torch.cat([torch.cat([vectors, torch.full((1, padding, 4), 9.0)], dim=1), longer])
    with torch.no_grad():
        alone, together = network(vectors, torch.tensor([3])), network(padded, torch.tensor([3, 3 + padding]))
    torch.testing.assert_close(alone[0], together[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", list(SMALL))
def test_bfloat16_is_near_float32_and_gives_float32_gradients(kind: str) -> None:
    network = small(kind)
    vectors, lengths = torch.randn(8, 6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(1, 9).clamp(max=6)
    exact = network(vectors, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(vectors, lengths)
    difference = (rounded.float() - exact).abs().max() / exact.abs().max()
    assert 0 < difference < 0.05
    expected = torch.autograd.grad(exact.square().sum(), list(network.parameters()))
    found = torch.autograd.grad(rounded.float().square().sum(), list(network.parameters()))
    assert all(gradient.dtype == torch.float32 for gradient in found)
    ours, theirs = (torch.cat([gradient.flatten() for gradient in gradients]) for gradients in (found, expected))
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.99


def test_the_loss_is_the_hand_written_one() -> None:
    rng = np.random.default_rng(0)
    target, predicted = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    total = 0.0
    for i in range(5):
        cosines = [predicted[i] @ target[k] / np.linalg.norm(predicted[i]) / np.linalg.norm(target[k]) / 0.5 for k in range(5)]
        total += np.log(np.sum(np.exp(cosines))) - cosines[i]
    l1 = np.abs(target - predicted).mean() / np.abs(target).mean()
    ours, theirs = torch.from_numpy(predicted), torch.from_numpy(target)
    assert contrastive_loss(ours, theirs, 0.5).item() == pytest.approx(total / 5)
    assert normalized_l1(ours, theirs).item() == pytest.approx(l1)
    loss, measures = hypernetwork_loss(ours, theirs, 0.1, 0.5)
    assert loss.item() == pytest.approx(0.1 * total / 5 + 0.9 * l1)
    cosine = np.mean([predicted[i] @ target[i] / np.linalg.norm(predicted[i]) / np.linalg.norm(target[i]) for i in range(5)])
    np.testing.assert_allclose(measures, [loss.item(), total / 5, l1, cosine])


def test_a_splits_contrastive_loss_is_by_batches_and_its_l1_over_all_rows() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = (torch.from_numpy(rng.standard_normal((7, 3))) for _ in range(2))
    parts = [(contrastive_loss(ours[a:b], theirs[a:b], 0.5).item(), b - a) for a, b in ((0, 3), (3, 6), (6, 7))]
    contrastive = sum(value * size for value, size in parts) / 7
    found = split_loss(ours, theirs, 0.1, 0.5, batch_size=3)
    assert tuple(found) == MEASURES
    assert found["contrastive"] == pytest.approx(contrastive)
    assert found["l1"] == pytest.approx(((ours - theirs).abs().sum() / theirs.abs().sum()).item())
    assert found["loss"] == pytest.approx(0.1 * contrastive + 0.9 * found["l1"])


def test_the_split_follows_from_its_seed() -> None:
    split = split_pairs(1000, 0.025, 0.005, 42)
    assert (len(split.train), len(split.validation), len(split.test)) == (970, 25, 5)
    assert sorted(np.concatenate([split.train, split.validation, split.test])) == list(range(1000))
    np.testing.assert_array_equal(split.test, split_pairs(1000, 0.025, 0.005, 42).test)
    assert set(split.test) != set(split_pairs(1000, 0.025, 0.005, 43).test)
    with pytest.raises(InputError, match="only 9 source tokens"):
        split_pairs(9, 0.025, 0.005, 42)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"word_weights": True, "word_sampling": "parity"}, "`word_weights` needs `word_sampling: paper`"),
        ({"validation": 0.6, "test": 0.4}, "leave no pair to train on"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BiLSTMHypernetwork.model_validate({"kind": "bilstm", **wrong})


def test_initialization_depends_on_networks_and_not_on_their_training() -> None:
    """So a change of the loss trains hypernetworks again and leaves models without one as they are."""
    training = {f"lexigraft.hypernetwork.{name}" for name in ("losses", "train", "train_mlp", "history", "build")}
    training |= {"lexigraft.training.checkpoints", "lexigraft.training.history"}
    stages = ["lexigraft.initialization.build", "lexigraft.initialization.token_map"]
    assert "lexigraft.hypernetwork.predict" not in import_closure([*stages, "lexigraft.initializers.ofa"])
    closure = import_closure([*stages, "lexigraft.initializers.hyperofa"])
    assert "lexigraft.hypernetwork.predict" in closure
    assert not training & closure
    assert training <= import_closure(["lexigraft.hypernetwork.build"])


def test_networks_import_no_other_network() -> None:
    room = "lexigraft.hypernetwork.networks"
    for name in ("bilstm", "setformer", "mlp"):
        inside = {module for module in import_closure([f"{room}.{name}"]) if module.startswith(f"{room}.")}
        assert inside == {f"{room}.{name}"}
