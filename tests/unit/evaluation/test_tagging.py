"""Taggers: their logits against transformers, fine-tuning that learns, repeats and resumes, scores that are reused."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from modeling_cases import FAMILY_NAMES, plain_model
from process_cases import at_pass, python
from tagging_cases import conllu, learnable, tagging_values, write_model
from transformers import BertForTokenClassification

from lexigraft.artifacts import Provenance, read_table
from lexigraft.errors import ArtifactError, ConfigError, InputError
from lexigraft.evaluation.scores import task_scores
from lexigraft.evaluation.tagging.model import Tagger, read_tagger
from lexigraft.evaluation.tagging.scoring import CONFUSION, SENTENCES, write_tag_scores
from lexigraft.evaluation.tagging.tagger import write_tagger
from lexigraft.evaluation.tagging.training import batch_of
from lexigraft.evaluation.tasks.tagging import TaggingTask
from lexigraft.settings import parse
from lexigraft.training.checkpoints import Checkpoints
from lexigraft.training.interruption import EXIT_CODE

Tuned = tuple[TaggingTask, Path, Path]
"""A task, the model, and the folder of a tagger made of it."""


def task_of(folder: Path, **changes: Any) -> TaggingTask:
    task: TaggingTask = parse(TaggingTask, tagging_values(folder, **changes))
    return task


def tune(task: TaggingTask, model: Path, out: Path, seed: int = 3, code: str = "") -> dict[str, bytes]:
    write_tagger(
        task,
        model_folder=model,
        tagger_path=out / "tagger.safetensors",
        tags_path=out / "tags.parquet",
        history_path=out / "history.parquet",
        checkpoint_folder=out / "checkpoints",
        seed=seed,
        threads=1,
        gpus=0,
        provenance=Provenance("tagger", seed=seed, code=code),
    )
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


def score(task: TaggingTask, model: Path, tuned: Path, out: Path, code: str = "") -> pl.DataFrame:
    write_tag_scores(
        task,
        model_folder=model,
        tagger_path=tuned / "tagger.safetensors",
        tags_path=tuned / "tags.parquet",
        sentences_path=out / "sentences.parquet",
        confusion_path=out / "confusion.parquet",
        threads=1,
        gpus=0,
        provenance=Provenance("tag_scores", code=code),
    )
    return read_table(out / "sentences.parquet", "tag_scores")


def test_logits_are_those_of_transformers() -> None:
    plain = plain_model("bert", classifier_dropout=0.2)
    theirs: Any = BertForTokenClassification(plain.config).eval()
    tagger = Tagger(plain.base_model, theirs.num_labels).eval()
    theirs.bert.load_state_dict(plain.base_model.state_dict())
    tagger.reset_classifier(5)
    theirs.classifier.load_state_dict(tagger.classifier.state_dict())
    assert tagger.dropout.p == theirs.dropout.p == 0.2
    ids = torch.tensor([[2, 7, 8, 3], [2, 9, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    positions = torch.tensor([1, 2, 5])
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[positions]
        torch.testing.assert_close(tagger(ids, mask, positions), expected)


@pytest.mark.parametrize(("name", "full"), [*((name, False) for name in FAMILY_NAMES), ("roberta", True)])
def test_a_tagger_of_every_family_learns_its_sentences(tmp_path: Path, name: str, full: bool) -> None:
    model = write_model(tmp_path, name, full=full)
    task = task_of(tmp_path / "text", epochs=25, evaluate_every=25, learning_rate=1e-2, dropout=0.0)
    few = task.train["eng_Latn"].model_copy(update={"max_sentences": 16})
    task = task.model_copy(update={part: {"eng_Latn": few} for part in ("train", "dev", "test")})
    tune(task, model, tmp_path / "out")
    history = read_table(tmp_path / "out" / "history.parquet", "tagger")
    assert history["step"].to_list() == [25, 50]
    counts = score(task, model, tmp_path / "out", tmp_path / "out")
    assert counts.schema == SENTENCES
    table = task_scores(task, [tmp_path / "out" / "sentences.parquet"])
    assert table["metric"].to_list() == ["f1", "token_f1", "accuracy"]
    assert dict(table.select("metric", "score").rows())["accuracy"] > 90
    assert not (tmp_path / "out" / "checkpoints").exists()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    task, model = task_of(folder / "text"), write_model(folder)
    tune(task, model, folder / "out")
    return task, model, folder / "out"


def test_fine_tuning_follows_from_its_arguments_and_seed(tuned: Tuned, tmp_path: Path) -> None:
    task, model, out = tuned
    first = {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.name != "sentences.parquet"}
    assert tune(task, model, tmp_path / "again") == first
    other = tune(task, model, tmp_path / "other", seed=4)
    assert other["tagger.safetensors"] != first["tagger.safetensors"]


def test_the_size_of_micro_batches_changes_rounding_only(tuned: Tuned, tmp_path: Path) -> None:
    task, model, _ = tuned
    found = []
    for size in (1, 8):
        settings = task.fine_tuning.model_copy(update={"micro_batch": size, "dropout": 0.0})
        tune(task.model_copy(update={"fine_tuning": settings}), model, tmp_path / str(size))
        found.append(read_table(tmp_path / str(size) / "history.parquet", "tagger")["loss"].to_numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


class Stopped(Exception):
    """Raised in place of a kill."""


def stop_after(monkeypatch: pytest.MonkeyPatch, checkpoints: int) -> None:
    """Stop a run once it has written so many checkpoints."""
    save, saved = Checkpoints.save, list[int]()

    def save_and_stop(self: Checkpoints, step: int, *arguments: Any, **position: Any) -> None:
        save(self, step, *arguments, **position)
        saved.append(step)
        if len(saved) == checkpoints:
            raise Stopped

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)


@pytest.mark.parametrize("evaluations", [1, 2])
def test_a_killed_run_continues_and_ends_with_the_same_bytes(
    tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluations: int
) -> None:
    task, model, out = tuned
    stop_after(monkeypatch, evaluations)
    with pytest.raises(Stopped):
        tune(task, model, tmp_path)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"of a run that differs in: seed(.|\n)*delete the folder"):
        tune(task, model, tmp_path, seed=4)
    whole = {path.name: path.read_bytes() for path in sorted(out.iterdir())}
    assert tune(task, model, tmp_path).items() <= whole.items()
    assert not (tmp_path / "checkpoints").exists()


def tune_and_receive(folder: Path, model: Path, out: Path, number: int) -> None:
    """`tune`, which gets a signal in the middle of its seventh step of three micro-batches."""
    at_pass(6 * 3 + 1, lambda module: isinstance(module, Tagger) and module.training, lambda: os.kill(os.getpid(), number))
    tune(task_of(folder), model, out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_writes_a_checkpoint_between_evaluations(tuned: Tuned, tmp_path: Path, number: signal.Signals) -> None:
    task, model, out = tuned
    text = Path(task.train["eng_Latn"].path).parent
    call = f"import sys, test_tagging as t; t.tune_and_receive(*map(t.Path, sys.argv[1:]), {int(number)})"
    done = python(call, text, model, tmp_path)
    assert done.returncode == EXIT_CODE, done.stderr
    assert Checkpoints(tmp_path / "checkpoints", {}).steps() == [5, 7]
    whole = {path.name: path.read_bytes() for path in sorted(out.iterdir())}
    assert tune(task, model, tmp_path).items() <= whole.items()


def test_the_tagger_is_the_best_on_the_development_sentences(tmp_path: Path) -> None:
    # a rate that falls to 0 while dropout shakes the scores: the best need not be the last
    task, model = task_of(tmp_path / "text", epochs=6, evaluate_every=2, learning_rate=2e-2), write_model(tmp_path)
    tune(task, model, tmp_path / "out")
    history = read_table(tmp_path / "out" / "history.parquet", "tagger")
    dev = task.model_copy(update={"test": task.dev})
    score(dev, model, tmp_path / "out", tmp_path / "scores")
    table = task_scores(task, [tmp_path / "scores" / "sentences.parquet"])
    assert table.filter(metric="f1")["score"].item() == pytest.approx(history["dev_f1"].max())
    assert history["dev_f1"].n_unique() > 1


def test_scores_are_reused_until_what_they_follow_from_changes(
    tuned: Tuned, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task, model, out = tuned
    (tmp_path / "kor.conllu").write_text(conllu(learnable(5, 9)), encoding="utf-8")
    files = {"kor_Hang": str(tmp_path / "kor.conllu"), **task.model_dump()["test"]}
    more = parse(TaggingTask, task.model_dump() | {"test": files})
    first = score(task, model, out, tmp_path)
    with caplog.at_level(logging.INFO):
        both = score(more, model, out, tmp_path)
    assert "1 languages to score on cpu, 1 reused" in caplog.text
    assert both["language"].unique(maintain_order=True).to_list() == ["kor_Hang", "eng_Latn"]
    assert both.filter(language="eng_Latn").equals(first)
    confused = read_table(tmp_path / "confusion.parquet", "tag_scores")
    assert confused.schema == CONFUSION
    assert confused["words"].sum() == both["words"].sum()
    whole = (tmp_path / "sentences.parquet").read_bytes()
    score(more, model, out, tmp_path / "anew")
    assert (tmp_path / "anew" / "sentences.parquet").read_bytes() == whole
    # a change of a test file, and of the code, makes its scores again
    (tmp_path / "kor.conllu").write_text(conllu(learnable(6, 9)), encoding="utf-8")
    assert len(score(more, model, out, tmp_path).filter(language="kor_Hang")) == 6
    caplog.clear()
    with caplog.at_level(logging.INFO):
        score(more, model, out, tmp_path, code="new")
    assert "2 languages to score on cpu, 0 reused" in caplog.text


def test_bad_test_text_is_told_before_anything_is_tagged(tuned: Tuned, tmp_path: Path) -> None:
    task, model, out = tuned
    strange, empty = tmp_path / "strange.conllu", tmp_path / "empty.conllu"
    strange.write_text(conllu([(["w5"], ["ADJ"])]), encoding="utf-8")
    empty.write_text("\n", encoding="utf-8")
    lacking = "the test text of kor_Hang has tags that the training text lacks: ADJ"
    for path, message in ((strange, lacking), (empty, "no sentence")):
        wrong = parse(TaggingTask, task.model_dump() | {"test": {**task.model_dump()["test"], "kor_Hang": str(path)}})
        with pytest.raises(InputError, match=message):
            score(wrong, model, out, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    wrong = parse(TaggingTask, task.model_dump() | {"dev": {"eng_Latn": str(strange)}})
    with pytest.raises(InputError, match="the development text has tags"):
        tune(wrong, model, tmp_path / "none")


def test_a_tagger_of_another_model_is_refused(tuned: Tuned) -> None:
    _, model, out = tuned
    with pytest.raises(ArtifactError, match=r"do not fit the model: .*classifier"):
        read_tagger(model, out / "tagger.safetensors", 9)


def test_seeds_are_averaged_with_their_spread(tuned: Tuned, tmp_path: Path) -> None:
    task, model, out = tuned
    tune(task, model, tmp_path, seed=4)
    paths = []
    for name, folder in (("one", out), ("two", tmp_path)):
        score(task, model, folder, tmp_path / name)
        paths.append(tmp_path / name / "sentences.parquet")
    task = task.model_copy(update={"headline": "accuracy"})
    single = [task_scores(task, [path]) for path in paths]
    both = task_scores(task, paths)
    assert both["metric"].to_list()[:3] == single[0]["metric"].to_list() == ["accuracy", "f1", "token_f1"]
    values = np.stack([table["score"].to_numpy() for table in single])
    np.testing.assert_allclose(both["score"].to_numpy(), [*values.mean(0), *values.std(0, ddof=1)])
    assert both["metric"].to_list()[3:] == ["accuracy_deviation", "f1_deviation", "token_f1_deviation"]
    assert (both["n"][:3] == single[0]["n"]).all()


def test_every_epoch_is_a_permutation() -> None:
    epochs = [np.concatenate([batch_of(epoch * 3 + step, 10, 4, seed=1) for step in (1, 2, 3)]) for epoch in (0, 1)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0].tolist() != epochs[1].tolist()
