"""A tagger: the encoder of a masked language model and a linear layer over its output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lexigraft.artifacts import read_tensors
from lexigraft.errors import ArtifactError
from lexigraft.modeling.load import load_model
from lexigraft.training.checkpoints import set_parameters

STAGE = "tagger"


class Tagger(nn.Module):
    """Logits of tags at chosen positions (Devlin et al. 2019, section 5.3, https://aclanthology.org/N19-1423).

    Attributes:
        encoder: `base_model` of a masked language model, plain or factorized; its head is left out.
        dropout: of the rate that the model's configuration names for classifiers or hidden states.
        classifier: (D -> tags).
    """

    def __init__(self, encoder: Any, tags: int) -> None:
        super().__init__()
        config = encoder.config
        rates = (getattr(config, name, None) for name in ("classifier_dropout", "hidden_dropout_prob", "mlp_dropout"))
        self.encoder = encoder
        self.dropout = nn.Dropout(next((rate for rate in rates if rate is not None), 0.0))
        self.classifier = nn.Linear(config.hidden_size, tags)

    def reset_classifier(self, seed: int) -> None:
        """Draw the linear layer's weights as transformers draws those of a classifier; the bias is zero."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.classifier.weight.normal_(0.0, getattr(self.encoder.config, "initializer_range", 0.02), generator=generator)
            self.classifier.bias.zero_()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, positions: Tensor) -> Tensor:
        """Return (n, tags) logits.

        Args:
            input_ids, attention_mask: (B, L).
            positions: (n,) indices into the flattened B * L positions.
        """
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: Tensor = self.classifier(self.dropout(hidden.flatten(0, 1)[positions]))
        return logits


def new_tagger(model_folder: Path, tags: int, seed: int) -> Tagger:
    """A tagger of the model in `model_folder` whose linear layer is drawn with `seed`.

    Raises:
        InputError, ArtifactError: see `modeling.load.load_model`.
    """
    tagger = Tagger(load_model(model_folder).base_model, tags)
    tagger.reset_classifier(seed)
    return tagger


def read_tagger(model_folder: Path, weights: Path, tags: int) -> Tagger:
    """The fine-tuned tagger whose weights `weights` holds, made from the model in `model_folder`, in evaluation mode.

    Raises:
        ArtifactError: the weights are damaged, or of another model or tag set.
    """
    tensors = read_tensors(weights, STAGE)
    tagger = Tagger(load_model(model_folder).base_model, tags)
    expected = {name: tuple(value.shape) for name, value in tagger.named_parameters()}
    found = {name: value.shape for name, value in tensors.items()}
    if expected != found:
        wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        raise ArtifactError(
            f"the tagger's weights do not fit the model: {', '.join(wrong[:5])}", where=weights, hint="fine-tune it again"
        )
    set_parameters(tagger, tensors)
    return tagger.eval()
