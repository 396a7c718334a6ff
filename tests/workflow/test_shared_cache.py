"""A cache shared by checkouts and users: hits compute nothing, changes never hit, damage is reported and repaired."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT, Checkout, edit
from tests.small_disk import small_disk_at

FACTORS = "resources/factors/minilm-8.safetensors"
MODEL = "results/shared/models/ofa-minilm-8/step-0/model.safetensors"
JOBS = 18


class Lab(Checkout):
    """A user's checkout with the smallest configuration, and its cache."""

    def __init__(self, folder: Path, cache: Path, user: int | None = None) -> None:
        super().__init__(folder)
        self.cache, self.user = cache, user
        shutil.copy(Path(__file__).parent / "shared.yaml", folder)
        write_text(folder)
        if user is not None:
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, user, user)

    def start(self, *arguments: str, cache: bool = True) -> subprocess.Popen[str]:
        command = self.command("--cores", "1", *arguments, config="shared.yaml")
        environment = self.environment() | {"HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / ".cache")}
        if cache:
            command += ["--cache"]
            environment["SNAKEMAKE_OUTPUT_CACHE"] = str(self.cache)
        if self.user is not None:
            command = as_user(command, self.user)
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def ends(self, *arguments: str, code: int = 0, cache: bool = True) -> str:
        """The output of a run, after checking its exit code."""
        process = self.start(*arguments, cache=cache)
        printed, _ = process.communicate()
        assert process.returncode == code, printed
        return printed

    def plan(self) -> dict[str, bool]:
        """First output of each planned job -> whether Snakemake expects it in the cache."""
        printed = self.ends("-n", "all")
        found = re.findall(r"Output file (\S+) will be (obtained from|written to) global", printed)
        assert len(found) == JOBS, printed
        return {path: what == "obtained from" for path, what in found}


def write_text(folder: Path) -> None:
    chooser = random.Random(1)
    words = ["".join(chooser.choices("abcdefghijklmnop", k=chooser.randint(2, 7))) for _ in range(400)]
    lines = [" ".join(chooser.choices(words, k=8)) + "\t" + " ".join(chooser.choices(words, k=8)) for _ in range(400)]
    (folder / "text.tsv").write_text("eng_Latn\tfra_Latn\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "held_out.txt").write_text("".join(f"{row}\n" for row in range(20)), encoding="utf-8")


def as_user(command: list[str], user: int) -> list[str]:
    """The command as another user, to whom the tests' Python is made visible if it lies in a private folder."""
    base = Path(sys.base_prefix).resolve()
    private = next((folder for folder in reversed(base.parents) if not folder.stat().st_mode & 0o001), None)
    switch = f'exec setpriv --reuid {user} --regid {user} --clear-groups "$@"'
    if private is not None:
        switch = f"""
            keep=$(mktemp -d) && mount --bind '{base}' "$keep" && mount -t tmpfs -o mode=755 tmpfs '{private}' &&
            mkdir -p '{base}' && mount --bind "$keep" '{base}' && umount "$keep" && rmdir "$keep" && {switch}
        """
    return ["unshare", "-m", "sh", "-c", switch, "sh", *command]


def lexigraft_cache(*arguments: object, code: int = 0) -> str:
    command = [sys.executable, "-m", "lexigraft.cli", "cache", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with access for every user (pytest's own folders are private)."""
    folder = Path(tempfile.mkdtemp(prefix="lexigraft-cache-"))
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def first(place: Path) -> Lab:
    """The first user's checkout after a complete run, which has filled the cache."""
    (place / "cache").mkdir()
    member = Lab(place / "first", place / "cache")
    printed = member.ends("all")
    assert "was not stored in the cache" not in printed
    assert "taken from the shared cache" not in printed
    return member


@pytest.fixture(scope="module")
def reader() -> Iterator[int]:
    """A second user of this machine, without any files."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("useradd", "userdel", "setpriv", "unshare"))):
        pytest.skip("only root can create a second user")
    name = f"lexigraft-{os.getpid()}"
    if subprocess.run(["useradd", "--no-create-home", name], capture_output=True, check=False).returncode != 0:
        pytest.skip("a second user cannot be created here")
    try:
        import pwd

        user = pwd.getpwnam(name).pw_uid
        done = subprocess.run(
            as_user([sys.executable, "-c", "import snakemake"], user), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"a second user cannot run this Python: {done.stderr.strip()[-200:]}")
        yield user
    finally:
        subprocess.run(["userdel", name], capture_output=True, check=False)


def stages_run(printed: str) -> int:
    return len(re.findall(r"^Finished jobid: \d+ \(Rule: (?!all\))", printed, flags=re.MULTILINE)) - printed.count(
        "taken from the"
    )


def test_a_read_only_user_takes_hits_and_keeps_own_results_locally(first: Lab, place: Path, reader: int) -> None:
    second = Lab(place / "second", first.cache, reader)
    printed = second.ends("all")
    assert printed.count("taken from the shared cache") == JOBS
    assert stages_run(printed) == 0
    assert [path for path in (second.folder / "logs").rglob("*.log") if "stage" in path.read_text()] == []
    assert second.artifacts() == first.artifacts()
    assert "Nothing to be done" in second.ends("-n", "all")
    # weights are links into the cache, which this user cannot write; files without a seal are copies
    assert (second.folder / MODEL).resolve().is_relative_to(first.cache)
    assert not (second.folder / MODEL).with_name("config.json").is_symlink()

    edit(second.folder / "shared.yaml", "vocab_size: 300", "vocab_size: 290")
    before = sorted(path.name for path in first.cache.iterdir())
    printed = second.ends("resources/tokenizers/small/vocabulary.parquet")
    assert "was not stored in the cache" in printed
    assert "Permission denied" in printed
    assert not (second.folder / "resources/tokenizers/small/vocabulary.parquet").is_symlink()
    assert sorted(path.name for path in first.cache.iterdir()) == before


def test_a_full_hit_in_another_checkout_computes_nothing(first: Lab, place: Path) -> None:
    other = Lab(place / "other", first.cache)
    assert set(other.plan().values()) == {True}
    printed = other.ends("all")
    assert printed.count("taken from the shared cache") == JOBS
    assert stages_run(printed) == 0
    assert other.artifacts() == first.artifacts()
    assert "Nothing to be done" in other.ends("-n", "all", cache=False)


@pytest.mark.parametrize(
    ("path", "old", "new", "changed", "same"),
    [
        ("lexigraft/factors/factorize.py", "import annotations", "import annotations\n\nX = 1", "factors", "tokenizers"),
        ("shared.yaml", "dim: 8}", "dim: 9}", "word_vectors", "tokenizers"),
        ("shared.yaml", "seed: 7", "seed: 8", "tokenizers", "corpora"),
        ("text.tsv", " a", " b", "corpora", "sources"),
        ("requirements.lock", "numpy==", "numpy==0.", "corpora", None),
        ("requirements.lock", "numpy==", "numpy==0.", "sources", None),
        ("lexigraft/factors/factorize.py", "import annotations", "import annotations  # a comment", None, "factors"),
    ],
)
def test_changed_inputs_code_or_settings_never_hit(
    first: Lab, tmp_path: Path, path: str, old: str, new: str, changed: str | None, same: str | None
) -> None:
    member = Lab(tmp_path / "member", first.cache)
    edit(member.folder / path, old, new)
    planned = member.plan()
    if changed:
        assert [file for file, hit in planned.items() if hit and file.startswith(f"resources/{changed}/")] == []
        # nor does anything that depends on it
        assert not planned["results/shared/report.html"]
    if same:
        hits = {hit for file, hit in planned.items() if file.startswith(f"resources/{same}/")}
        assert hits == {True}


def test_a_manually_changed_input_changes_the_key(first: Lab, tmp_path: Path) -> None:
    """Keys use the files that are read, not those that the configuration would produce."""
    member = Lab(tmp_path / "member", first.cache)
    member.ends("resources/tokenizers/small/tokenizer_config.json")
    file = member.folder / "resources/tokenizers/small/tokenizer_config.json"
    file.write_text(file.read_text().replace("{", "{ ", 1))
    printed = member.ends(
        "--rerun-triggers", "params", "--forcerun", "target_matches", "-n", "resources/matches/small/target-small.parquet"
    )
    assert re.search(r"target-small.parquet will be written to", printed), printed


def test_two_simultaneous_runs_fill_an_empty_cache(place: Path, first: Lab) -> None:
    cache = place / "empty"
    cache.mkdir()
    members = [Lab(place / name, cache) for name in ("left", "right")]
    targets = ("resources/tokenizers/small/tokenizer.json", FACTORS)
    running = [member.start(*targets) for member in members]
    for process in running:
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
    assert members[0].artifacts() == members[1].artifacts()
    assert members[0].artifacts() == {
        name: content for name, content in first.artifacts().items() if name in members[0].artifacts()
    }
    assert "4 entries, none damaged" in lexigraft_cache("verify", cache)
    assert sorted(path.name for path in cache.iterdir() if path.name.startswith(".")) == []


def test_a_run_killed_while_storing_leaves_no_visible_entry(place: Path, first: Lab, tmp_path: Path) -> None:
    cache = place / "killed"
    cache.mkdir()
    member = Lab(tmp_path / "member", cache)
    for _ in range(2):
        before = hidden(cache)
        process = member.start(FACTORS)
        while process.poll() is None and hidden(cache) == before:
            time.sleep(0.001)  # writing an entry takes longer
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "nothing was stored"
        member.ends("--unlock")
    other = Lab(tmp_path / "other", cache)
    for lab in (other, member):
        lab.ends("--rerun-incomplete", FACTORS)
        assert lab.artifacts() == {name: first.artifacts()[name] for name in lab.artifacts()}
    assert "none damaged" in lexigraft_cache("verify", cache)


def hidden(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith(".")}


def test_an_entry_overwritten_through_a_link_is_reported_and_repaired(first: Lab, place: Path, tmp_path: Path) -> None:
    cache = place / "copy"
    shutil.copytree(first.cache, cache)
    victim, other = Lab(tmp_path / "victim", cache), Lab(tmp_path / "other", cache)
    victim.ends(FACTORS)
    link = victim.folder / FACTORS
    whole, entry = link.read_bytes(), link.resolve().parent
    assert entry.parent == cache
    link.chmod(0o644)  # through the link
    link.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    for printed in (other.ends(FACTORS, code=1), victim.ends(MODEL, code=1, cache=False)):
        assert str(entry) in printed
        assert f"lexigraft cache verify {cache} --remove" in printed
    assert entry.name in lexigraft_cache("verify", cache, code=1)
    assert "1 were damaged and removed" in lexigraft_cache("verify", cache, "--remove")
    assert not link.exists()
    printed = other.ends(FACTORS)
    assert stages_run(printed) == 1
    assert (other.folder / FACTORS).resolve().parent == entry
    # the old link is valid again
    assert link.read_bytes() == whole
    assert "none damaged" in lexigraft_cache("verify", cache)


def test_runs_survive_a_full_and_a_read_only_cache(first: Lab, place: Path) -> None:
    with small_disk_at(place / "disk", 256 << 10) as disk:
        member = Lab(place / "member", disk.folder)
        printed = member.ends(FACTORS)
        assert "No space left on device" in printed
        assert list(disk.folder.iterdir()) == []
        disk.make_read_only()
        (member.folder / FACTORS).unlink()
        printed = member.ends(FACTORS)
        assert "Read-only file system" in printed
        assert (member.folder / FACTORS).read_bytes() == (first.folder / FACTORS).read_bytes()
        assert not (member.folder / FACTORS).is_symlink()


def test_a_missing_cache_folder_stops_the_run_before_its_first_job(tmp_path: Path) -> None:
    member = Lab(tmp_path / "member", tmp_path / "nowhere")
    printed = member.ends("all", code=1)
    assert f"the shared cache '{tmp_path}/nowhere' is not a folder" in printed
    assert not (member.folder / "resources").exists()
