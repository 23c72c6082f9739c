"""The trainings of shipped weights that still pay, one after the other; for maintainers, from a clone:

    python -m tools.train_queue                    # the first unfinished run goes on, then the next, until none is left
    python -m tools.train_queue --list             # how far each is
    python -m tools.train_queue --pack             # the unfinished run's state as one file that can be committed

What runs is in `tools/train_queue.toml`, in order; each has its run folder under `runs/queue` and goes on from its last
checkpoint, also after a kill. A packed state is unpacked on a machine that has no such folder; it goes with the commit that
brings the weights. A finished run is looked at, then published (`python -m tools.publish`), and its entry is taken out.
"""

import argparse
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pydantic

from ganzoo import presets
from ganzoo.errors import GanzooError
from ganzoo.files import write_bytes
from ganzoo.presets.records import Record
from ganzoo.runs.log import read_log

QUEUE = Path(__file__).with_name("train_queue.toml")
STATE = Path(__file__).with_name("train_queue_state.zip")
RUNS = Path("runs/queue")
LARGEST = 30_000_000  # bytes of a packed state: the history keeps every one


class Entry(Record):
    """One training: a preset, the settings that differ from its own by dotted key, and why it pays."""

    preset: str
    why: str
    set: dict[str, Any] = pydantic.Field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Its run folder."""
        return RUNS / self.preset.replace("/", "-")

    @property
    def step(self) -> int:
        """The last step that it has logged."""
        rows = read_log(self.folder / "log.jsonl").rows
        return rows[-1]["step"] if rows else 0

    @property
    def steps(self) -> int:
        """How many steps it is to have."""
        return presets.run_config(self.preset, self.set).train.steps

    @property
    def finished(self) -> bool:
        """Whether it has a model of all its steps; one that was interrupted has a model, too."""
        manifest = self.folder / "model" / "manifest.json"
        return manifest.is_file() and json.loads(manifest.read_text("utf-8"))["steps"] >= self.steps


def entries() -> list[Entry]:
    """The queue, in order. Raises GanzooError for an unknown preset or setting."""
    found = tomllib.loads(QUEUE.read_text("utf-8")).get("runs", [])
    queue = [presets.validate(Entry, entry, QUEUE.name) for entry in found]
    for entry in queue:
        presets.run_config(entry.preset, entry.set)
    return queue


def run() -> None:
    """Trains every unfinished entry to its end. Raises GanzooError where a training ends with another code than 0."""
    for entry in entries():
        if entry.finished:
            continue
        unpack(entry)
        command = [sys.executable, "-m", "ganzoo", "train", entry.preset, "-o", str(entry.folder)]
        for key, value in entry.set.items():
            command += ["--set", f"{key}={presets.to_toml({'x': value}).strip().removeprefix('x = ')}"]
        command += ["--resume"] if (entry.folder / "config.toml").is_file() else []
        code = subprocess.run(command, check=False).returncode
        if code:
            raise GanzooError(f"The training of {entry.preset} ended with code {code}; its folder is {entry.folder}.")


def table() -> str:
    """A line for each entry: how far it is."""
    lines = []
    for entry in entries():
        state = "trained: look at it, then publish it" if entry.finished else f"step {entry.step:,} of {entry.steps:,}"
        lines.append(f"{entry.preset}: {state}. {entry.why}")
    return "\n".join(lines) or "The queue is empty."


def pack() -> Path:
    """Writes the state of the first run that was begun and is not finished: settings, log, newest checkpoint.

    Raises:
        GanzooError: there is none, or its state is larger than a commit should be.
    """
    begun = [entry for entry in entries() if not entry.finished and list(entry.folder.glob("checkpoints/step-*"))]
    if not begun:
        raise GanzooError("No training of the queue has been begun and is unfinished.")
    folder = begun[0].folder
    newest = max(folder.glob("checkpoints/step-*"))
    partial = STATE.with_suffix(".tmp")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_LZMA) as archive:
        for path in (*folder.glob("*.toml"), *folder.glob("*.json*"), newest):
            archive.write(path, Path(folder.name) / path.relative_to(folder))
    size = partial.stat().st_size
    if size > LARGEST:
        partial.unlink()
        raise GanzooError(
            f"The state of {begun[0].preset} has {size:,} bytes, more than {LARGEST:,}: make the run anew."
        )
    partial.replace(STATE)
    return STATE


def unpack(entry: Entry) -> None:
    """Lays out the packed state, where it is this entry's and no folder of it is there."""
    if entry.folder.exists() or not STATE.is_file():
        return
    with zipfile.ZipFile(STATE) as archive:
        for name in archive.namelist():
            if Path(name).parts[0] == entry.folder.name and ".." not in Path(name).parts:
                target = RUNS / name
                target.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(target, archive.read(name))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="how far each training is")
    parser.add_argument("--pack", action="store_true", help="write the unfinished run's state as one file")
    options = parser.parse_args(words)
    try:
        if options.list:
            sys.stdout.write(table() + "\n")
        elif options.pack:
            sys.stdout.write(f"{pack()}\n")
        else:
            run()
    except GanzooError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
