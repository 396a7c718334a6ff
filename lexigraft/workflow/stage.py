"""What every stage of the workflow shares: its log, threads, provenance and error messages."""

from __future__ import annotations

import logging
import os
import platform
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from lexigraft.errors import LexigraftError
from lexigraft.workflow.run_context import RUN

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from lexigraft.artifacts import Provenance

Files = TypeVar("Files", bound="DataclassInstance")
_NOT_PARAMETERS = frozenset({"code", "lock", "seed"})
_RUN_OF_LOG = "run "
WARNING_SIGNAL = signal.SIGUSR1
"""The signal that a cluster sends to all processes of a job some minutes before its time limit."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running stage.

    Attributes:
        input, output: the job's files by name: a Path, or a list of Paths.
        params: its parameters by name, as plain values.
        threads: the number of threads it may use.
        provenance: the provenance of its artifacts.
    """

    input: SimpleNamespace
    output: SimpleNamespace
    params: SimpleNamespace
    threads: int
    provenance: Provenance

    def inputs_of(self, kind: type[Files]) -> Files:
        """An instance of a dataclass of files, with the input files of the same names as its fields."""
        return kind(**{field.name: getattr(self.input, field.name) for field in fields(kind)})

    def folder(self, name: str) -> Path:
        """The folder of the output file of this name."""
        path: Path = getattr(self.output, name)
        return path.parent

    def named_files(self, names: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Path]]:
        """Input -> name -> file, for inputs that are lists of files; `names` gives the names of a list's files in order.

        Raises:
            ValueError: a list has more or fewer files than names.
        """
        return {kind: dict(zip(of, getattr(self.input, kind), strict=True)) for kind, of in names.items()}


@contextmanager
def stage(name: str, job: Any) -> Iterator[Stage]:
    """Run the body of the `with` statement as one stage of the workflow.

    Standard output, standard error and logging go to the job's log file. A LexigraftError is printed without a traceback,
    to the terminal too, and ends the process with exit code 1. Import heavy libraries inside the body: the thread counts
    are set before it runs.

    Args:
        name: the stage's name, stored in the provenance of its artifacts.
        job: an object with `input`, `output`, `params`, `log`, `threads` (a Snakemake job or a replacement).
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[variable] = str(job.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ["TQDM_DISABLE"] = "1"  # progress bars of other libraries; lexigraft writes plain lines to the log
    terminal = sys.stderr
    log_path = Path(job.log[0])
    with _opened(log_path, name) as log, redirect_stderr(log), redirect_stdout(log), _noting_warnings():
        logging.basicConfig(stream=log, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
        for noisy in ("httpx", "filelock", "huggingface_hub", "faiss"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        started = time.monotonic()
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = f" and GPUs {given}" if given else ""
        logging.info("stage %s on %s with %d threads%s", name, platform.machine(), job.threads, gpus)
        try:
            params = SimpleNamespace(**{key: plain(value) for key, value in job.params.items()})
            with _prepared(log_path, job):
                yield Stage(_paths(job.input), _paths(job.output), params, int(job.threads), _provenance(name, job))
        except LexigraftError as error:
            logging.error("stage %s failed:\n%s", name, error)
            print(f"lexigraft: stage {name} failed\n{error}", file=terminal, flush=True)
            sys.exit(1)
        except Exception as error:
            with suppress(OSError):  # the log may be on the disk that is full
                traceback.print_exc(file=log)
            print(f"lexigraft: stage {name} failed: {type(error).__name__}: {error}\n  log: {log_path}", file=terminal)
            sys.exit(1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform != "darwin" else 1 << 30)
        logging.info("stage %s done in %.1f s, peak memory %.2f GB", name, time.monotonic() - started, peak)


def ignore_time_limit_signal() -> None:
    """Ignore the cluster's warning signal in this process and in the shells and programs that it starts.

    The signal would end Snakemake and its shells, and with them the stage they started, the only one that can react to it.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(WARNING_SIGNAL, signal.SIG_IGN)


@contextmanager
def _noting_warnings() -> Iterator[None]:
    """Write the cluster's warning to the log; a stage that can react installs its own handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(WARNING_SIGNAL, _note_time_limit)
    try:
        yield
    finally:
        signal.signal(WARNING_SIGNAL, before)


def _note_time_limit(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    logging.warning("received %s: the job is close to its time limit; if it reaches the limit, it is run again", name)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[TextIO]:
    """The log file of a stage; if it cannot be written, the process ends with one message."""
    from lexigraft.artifacts.atomic import hint_for

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _stop_if_superseded(path)
        # a new file: by it a stage that survived a killed run notices that its job was started again
        path.unlink(missing_ok=True)
        log = path.open("w", encoding="utf-8", buffering=1)
        print(f"{_RUN_OF_LOG}{os.environ.get(RUN, 0)}", file=log)
    except (OSError, LexigraftError) as error:
        problem = error
        if isinstance(error, OSError):
            problem = LexigraftError(f"the log cannot be written: {error}", where=path, hint=hint_for(error))
        print(f"lexigraft: stage {name} failed\n{problem}", file=sys.stderr, flush=True)
        sys.exit(1)
    try:
        yield log
    finally:
        with suppress(OSError):
            log.close()


def _stop_if_superseded(log: Path) -> None:
    """Refuse to start a job that a later run has started: this one waited in a queue while its own run was killed."""
    with suppress(FileNotFoundError), log.open(encoding="utf-8", errors="replace") as lines:
        theirs = lines.readline().strip().removeprefix(_RUN_OF_LOG)
        if theirs.isdecimal() and int(theirs) > int(os.environ.get(RUN, sys.maxsize)):
            raise LexigraftError(
                "not started: a later run has started the same job, and this one belongs to an earlier run",
                where=log,
                hint="nothing, if that later run is the one you want",
            )


@contextmanager
def _prepared(log_path: Path, job: Any) -> Iterator[None]:
    """Claim the outputs, remove leftovers of killed jobs, and verify the inputs that have no seal."""
    from lexigraft.artifacts import check_companion, claim, remove_leftovers

    for path in _flat(job.output):
        remove_leftovers(path)
    for path in _flat(job.input):
        check_companion(path)
    with claim(log_path):
        yield


def _flat(files: Any) -> Iterator[Path]:
    for value in _paths(files).__dict__.values():
        yield from [value] if isinstance(value, Path) else value


def _paths(files: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{name: Path(value) if isinstance(value, str) else [Path(item) for item in value] for name, value in files.items()}
    )


def _provenance(name: str, job: Any) -> Provenance:
    from lexigraft.artifacts import Provenance, identity

    parameters = dict(job.params.items())
    return Provenance(
        stage=name,
        parameters={key: plain(value) for key, value in parameters.items() if key not in _NOT_PARAMETERS},
        seed=parameters.get("seed"),
        code=parameters.get("code", ""),
        lock=parameters.get("lock", ""),
        inputs={
            key: identity(Path(files)) if isinstance(files, str) else " ".join(identity(Path(file)) for file in files)
            for key, files in job.input.items()
        },
    )


def plain(value: Any) -> Any:
    """Turn a parameter into plain JSON values (Snakemake's named lists become lists)."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return [plain(item) for item in value]
