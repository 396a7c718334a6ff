"""Cross-entropy in blocks against torch's own in float64, and output heads against the models' logits."""

from __future__ import annotations

import os
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lexigraft.errors import ConfigError, InputError, MissingPackageError
from lexigraft.modeling.classes import class_of
from lexigraft.modeling.cross_entropy import blocked_cross_entropy
from lexigraft.modeling.families import families
from lexigraft.modeling.kernels import SummedLoss, _with_bias, summed_loss
from lexigraft.modeling.output_head import check_kernel, head_loss_in_plain_torch, output_head

PACKAGES = {"liger": "liger_kernel", "cut_cross_entropy": "cut_cross_entropy"}


def plain(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(hidden, weight, bias), labels, reduction="sum")


def inputs(
    n: int, d: int, v: int, bias: bool, dtype: torch.dtype, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    made = torch.Generator().manual_seed(seed)
    hidden = 3 * torch.randn(n, d, generator=made, dtype=dtype)
    weight = torch.randn(v, d, generator=made, dtype=dtype)
    added = torch.randn(v, generator=made, dtype=dtype) if bias else None
    for tensor in (hidden, weight, added):
        if tensor is not None:
            tensor.requires_grad_()
    return hidden, weight, added, torch.randint(v, (n,), generator=made)


def assert_near(ours: list[Tensor], theirs: list[Tensor], share: float) -> None:
    """Differences of a small share of the size."""
    assert all((one - other).norm() < share * other.norm() for one, other in zip(ours, theirs, strict=True))


def gradients(loss: Tensor, *tensors: Tensor | None) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [tensor for tensor in tensors if tensor is not None]))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9), st.integers(1, 6), st.integers(1, 40), st.integers(1, 50), st.booleans(), st.floats(-3, 3))
def test_loss_and_gradients_are_those_of_float64(n: int, d: int, v: int, block: int, bias: bool, scale: float) -> None:
    hidden, weight, added, labels = inputs(n, d, v, bias, torch.float64)
    found = blocked_cross_entropy(hidden, weight, added, labels, block)
    wanted = plain(hidden, weight, added, labels)
    assert torch.allclose(found, wanted, rtol=1e-12)
    for one, other in zip(
        gradients(found * scale, hidden, weight, added), gradients(wanted * scale, hidden, weight, added), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


def test_gradcheck() -> None:
    hidden, weight, bias, labels = inputs(5, 3, 17, True, torch.float64)
    assert torch.autograd.gradcheck(lambda h, w, b: blocked_cross_entropy(h, w, b, labels, 6), (hidden, weight, bias))


def test_large_logits_do_not_overflow() -> None:
    hidden, weight, bias, labels = inputs(4, 3, 30, True, torch.float32)
    found = blocked_cross_entropy(hidden * 1e4, weight, bias, labels, 7)
    assert torch.allclose(found, plain(hidden * 1e4, weight, bias, labels), rtol=1e-5)
    assert all(gradient.isfinite().all() for gradient in gradients(found, hidden, weight, bias))


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    tensors = list(inputs(4, 3, 30, True, torch.float64))
    labels = tensors.pop()
    tensors[frozen].detach_()  # type: ignore[union-attr]
    blocked_cross_entropy(*tensors, labels, 7).backward()  # type: ignore[arg-type]
    assert [tensor.grad is None for tensor in tensors] == [index == frozen for index in range(3)]  # type: ignore[union-attr]


def test_under_autocast_products_are_bfloat16_and_sums_float32() -> None:
    hidden, weight, bias, labels = inputs(6, 8, 50, True, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = blocked_cross_entropy(hidden, weight, bias, labels, 9)
    assert found.dtype == torch.float32
    exact = plain(hidden, weight, bias, labels)
    assert found != exact
    assert torch.allclose(found, exact, rtol=0.02)
    ours = gradients(found, hidden, weight, bias)
    assert {one.dtype for one in ours} == {torch.float32}
    assert_near(ours, gradients(exact, hidden, weight, bias), 0.02)


def test_a_scale_that_bfloat16_cannot_hold_changes_no_gradient_by_a_factor() -> None:
    hidden, weight, _, labels = inputs(256, 32, 50, False, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = blocked_cross_entropy(hidden, weight, None, labels, 9)
    (once,) = torch.autograd.grad(found, weight, retain_graph=True)
    (scaled,) = torch.autograd.grad(found * 1.0038, weight)  # in bfloat16 this is 1
    assert float((scaled * once).sum() / once.square().sum()) == pytest.approx(1.0038, abs=5e-4)


def test_no_logits_of_the_whole_vocabulary_are_kept() -> None:
    n, v, block = 64, 5000, 100
    hidden, weight, bias, labels = inputs(n, 4, v, True, torch.float32)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):  # type: ignore[func-returns-value]
        loss = blocked_cross_entropy(hidden, weight, bias, labels, block)
    assert max(kept) == v * 4  # the table itself
    with torch.profiler.profile(profile_memory=True) as profile:
        blocked_cross_entropy(hidden, weight, bias, labels, block)
        loss.backward()
    largest = max(abs(event.cpu_memory_usage) for event in profile.events())
    assert largest < 4 * n * v


def models() -> dict[str, object]:
    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    made: dict[str, object] = {}
    for name, family in families().items():
        for kind, factorized in (("", True), ("plain ", False)):
            values = {"vocab_size": 99, "max_position_embeddings": 24, "pad_token_id": 1, **small}
            config = class_of(family, "config", factorized=factorized)(**values, **({"factor_dim": 8} if factorized else {}))
            made[kind + name] = class_of(family, "language_model", factorized=factorized)(config)
    made["llama"] = LlamaForCausalLM(LlamaConfig(vocab_size=99, max_position_embeddings=24, **small))
    made["gpt2"] = GPT2LMHeadModel(GPT2Config(vocab_size=99, n_positions=24, n_embd=32, n_layer=2, n_head=4))
    return made


@pytest.mark.parametrize("name", sorted(models()))
def test_a_head_is_all_of_the_models_output(name: str) -> None:
    model = models()[name].double().eval()  # type: ignore[attr-defined]
    for parameter in model.parameters():  # biases that are not 0
        torch.nn.init.normal_(parameter, std=0.2)
    head = output_head(model)
    ids = torch.arange(20)[None]
    labels = torch.arange(50, 70)
    hidden = model.base_model(ids).last_hidden_state[0]
    wanted = functional.cross_entropy(model(ids).logits[0], labels, reduction="sum")
    assert torch.allclose(head.loss(hidden, labels), wanted, rtol=1e-10)
    assert torch.allclose(head_loss_in_plain_torch(head, hidden, labels), wanted, rtol=1e-10)
    parameters = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad(head.loss(hidden, labels), parameters, retain_graph=True, allow_unused=True),
        torch.autograd.grad(wanted, parameters, allow_unused=True),
        strict=True,
    ):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, rtol=1e-8, atol=1e-10)


def test_the_model_keeps_its_own_head() -> None:
    model = models()["roberta"]
    output_head(model)  # type: ignore[arg-type]
    assert model.lm_head.decoder is model.get_output_embeddings()  # type: ignore[attr-defined]
    assert model(torch.arange(9)[None]).logits.shape[-1] == 99  # type: ignore[operator]


def test_models_with_other_logits_are_refused() -> None:
    sizes = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = Gemma2Config(**sizes, **heads, initializer_range=0.5, final_logit_softcapping=0.05)
    with pytest.raises(InputError, match="does not compute its logits by one output layer"):
        output_head(Gemma2ForCausalLM(config))
    with pytest.raises(InputError, match="no output layer"):
        output_head(models()["gpt2"].transformer)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kernel", ["liger", "cut_cross_entropy"])
def test_gpu_kernels_need_a_gpu(kernel: str) -> None:
    with pytest.raises(ConfigError, match=f"'{kernel}' runs on GPUs only"):
        summed_loss(kernel, torch.device("cpu"))


@pytest.mark.parametrize(("kernel", "package"), PACKAGES.items())
def test_gpu_kernels_need_their_package(kernel: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (package, f"{package}.transformers", f"{package}.transformers.functional"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=f"'{kernel}' needs the package"):
        summed_loss(kernel, torch.device("cuda"))


@pytest.mark.parametrize(("kernel", "package"), PACKAGES.items())
@pytest.mark.parametrize("bias", [True, False])
def test_gpu_kernels_compute_the_loss(kernel: str, package: str, bias: bool) -> None:
    """On a GPU; Liger's also on a CPU, where TRITON_INTERPRET=1 is set."""
    pytest.importorskip(package)
    if not torch.cuda.is_available() and not (kernel == "liger" and os.environ.get("TRITON_INTERPRET")):
        pytest.skip("needs a GPU")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    hidden, weight, added, labels = (
        tensor if tensor is None else tensor.detach().to(device).requires_grad_(tensor.is_floating_point())
        for tensor in inputs(70, 20, 300, bias, torch.float32)
    )
    assert hidden is not None
    assert weight is not None
    assert labels is not None
    given = summed_loss(kernel, torch.device("cuda"))
    found, wanted = given(hidden, weight, added, labels), plain(hidden, weight, added, labels)
    assert torch.allclose(found, wanted, rtol=0.02)
    assert_near(gradients(found, hidden, weight, added), gradients(wanted, hidden, weight, added), 0.03)
    assert given(hidden[:0], weight, added, labels[:0]) == 0
    if bias:  # alone to be trained
        frozen = hidden.detach(), weight.detach(), added, labels
        assert_near(gradients(given(*frozen), added), gradients(plain(*frozen), added), 0.03)


def test_a_bias_becomes_two_columns() -> None:
    hidden, weight, bias, labels = inputs(6, 8, 50, True, torch.float32)
    assert bias is not None
    wanted = plain(hidden.bfloat16().float(), weight.bfloat16().float(), 10 * bias, labels)
    found = plain(*(part.float() for part in _with_bias(hidden.bfloat16(), weight.bfloat16(), 10 * bias)), None, labels)
    assert torch.allclose(found, wanted, rtol=1e-4)
    assert_near(gradients(found, hidden, weight, bias), gradients(wanted, hidden, weight, bias), 0.01)


class TestTriedOut:
    """A kernel is compared with the plain computation before anything is trained with it."""

    @pytest.mark.parametrize("name", ["roberta", "plain roberta", "llama"])
    def test_one_that_is_right(self, name: str) -> None:
        decoder = models()[name].get_output_embeddings()  # type: ignore[attr-defined]
        check_kernel(blocked_cross_entropy, "new", decoder)
        assert all(parameter.grad is None for parameter in decoder.parameters())

    @pytest.mark.parametrize(
        ("kernel", "told"),
        [
            (lambda h, w, b, y: plain(h, w, b, y) / len(y), "(loss)"),
            (lambda h, w, b, y: plain(h.detach(), w, b, y) + 0 * h.sum(), "(gradient of hidden states)"),
            (lambda h, w, b, y: plain(h, 2 * w - w.detach(), b, y), "(gradient of F)"),
            (lambda h, w, b, y: plain(h, w, 0 * b, y), "(gradient of the bias)"),
            (lambda h, w, b, y: plain(h, w, b, y) * torch.nan, "by nan"),
        ],
    )
    def test_one_that_is_wrong(self, kernel: SummedLoss, told: str) -> None:
        with pytest.raises(ConfigError, match="output_kernel 'new' differs from the plain computation") as caught:
            check_kernel(kernel, "new", models()["roberta"].get_output_embeddings())  # type: ignore[attr-defined]
        assert told in str(caught.value)

    def test_one_that_does_not_run(self) -> None:
        def broken(*_: Tensor | None) -> Tensor:
            raise TypeError("unexpected keyword argument 'bias'")

        with pytest.raises(ConfigError, match="'new' does not work here: unexpected keyword argument 'bias'"):
            check_kernel(broken, "new", models()["roberta"].get_output_embeddings())  # type: ignore[attr-defined]
