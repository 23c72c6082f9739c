"""Metrics of transfers without pairs, after DTN (1611.02200, section 5): is what matters of the source still to be seen?

| metric | protocol |
|---|---|
| `digit-kept` | share of transferred test digits that a reader of the target's digits (digits-cnn) reads as what they are |
| `digit-kept-copy` | the same of the source pictures themselves, in gray: what the transfer adds |
| `digit-by-f` | share of the source's test digits that the model's own f and its head tell apart: about the most that can be kept |
| `hair-kept` | of drawn characters: share whose hair lorelei-cnn reads as a colour that stands for that of the head (`HAIR`) |
| `skin-kept` | the same of the skin, light or dark, read by its colour (`skin_of`) |

The chance, with the inputs exchanged, stands in the note; so does what the reader says of real pictures.
"""

from collections.abc import Callable

import numpy as np

from ganzoo import data as data_layer
from ganzoo.base import pixels
from ganzoo.errors import GanzooError
from ganzoo.evaluation.scores import Score
from ganzoo.evaluation.sets import Subject
from ganzoo.media import images

# Colour of a head's hair in `faces_age_64` -> colours of hair in `lorelei_64` that stand for it; gray is half of the hair or more.
HAIR = {
    "black": ("black",),
    "dark brown": ("brown", "black"),
    "brown": ("brown",),
    "blond": ("blonde",),
    "red": ("red", "orange"),
    "gray": ("silver",),
}
# Of `lorelei_64`, from its recipe: name, RGB, whether it counts as dark.
SKIN = (
    ("pale", (255, 240, 230), False),
    ("fair", (249, 207, 174), False),
    ("tan", (223, 162, 113), True),
    ("brown", (184, 121, 79), True),
)
NEAR = 40  # of 255: a pixel this far from a tone of skin at most has it
DARK = 0.5  # of the mix of a head: more of the African shape has the dark skin of the renderer


def _chance(fits: Callable, sources: np.ndarray, found: np.ndarray) -> float:
    """Share that would fit if each were read beside another one's source: over all pairs."""
    kinds, counts = np.unique(sources, return_counts=True)
    each = [float(np.mean([fits(kind, one) for one in found])) for kind in kinds]
    return float(np.average(each, weights=counts))


def _source(subject: Subject, name: str, wanted: str):
    """The columns of the inputs' set. Raises GanzooError for another one than `wanted`."""
    if data_layer.bundled.canonical(subject.config.source) != wanted:
        raise GanzooError(
            f"{name} needs the known columns of the bundled set {wanted}; {subject.config.source} is another."
        )
    return data_layer.bundled.columns(wanted)


# ---- digits ----------------------------------------------------------------------------------------------------------
def digits(kind: str) -> Callable:
    """Share of pictures that digits-cnn reads as the label of the input: of "fake", the samples, or of "input"."""

    def run(subject: Subject, which: str, name: str, n: int | None):
        from ganzoo.metrics.features import digits_cnn

        labels = subject.inputs.labels
        if labels is None:
            raise GanzooError(f"{name} needs the classes of the source: {subject.config.source} has none.")
        if which == "floor" or (which != "fake" and kind == "input"):
            return None
        shown = subject.sets.pictures(which if kind == "fake" else "input").array()
        found = digits_cnn.read(images.to_channels(shown, 1))[:n]
        labels = labels[: len(found)]
        score = float(np.mean(found == labels))
        if kind == "input":
            return name, len(found), Score(score, note="baseline: the source pictures themselves")
        real, truth = subject.sets.pictures("reference").array(), subject.test.labels
        right = None if truth is None else np.mean(digits_cnn.read(real) == truth)
        own = "" if right is None else f"; real target pictures {right:.4f}, the reader's own accuracy"
        worst = min(np.unique(labels), key=lambda value: np.mean(found[labels == value] == value))
        note = f"chance 0.1{own}; least of {worst}, {np.mean(found[labels == worst] == worst):.2f}"
        return name, len(found), Score(score, note=note)

    return run


def by_f(subject: Subject, which: str, name: str, n: int | None):
    """The share of test pictures of the source that f and the head that it was trained by classify right."""
    if which == "floor":
        return None
    model = subject.model if which == "fake" else subject.untrained
    labels = subject.inputs.labels
    if labels is None or "classifier" not in model.networks():
        raise GanzooError(f"{name} needs the classes of the source, and a model whose f was trained on them.")
    shown, found = subject.sets.pictures("input").array()[:n], []
    for start in range(0, len(shown), 250):
        x = pixels.images_in(shown[start : start + 250], model.input_channels)
        found.append(np.argmax(model.classifier(model.features(x), training=False), axis=1))
    right = np.concatenate(found) == labels[: len(shown)]
    return name, len(right), Score(float(right.mean()), note="source pictures, before the transfer")


# ---- faces to drawn characters ---------------------------------------------------------------------------------------
def skin_of(shown: np.ndarray) -> np.ndarray:
    """The tone of skin, by name, that most pixels of the lower middle of uint8 characters (N, 64, 64, 3) are near to."""
    height, width = shown.shape[1:3]
    middle = shown[:, height // 2 : height * 7 // 8, width // 4 : width * 3 // 4].astype(np.int32)
    tones = np.array([tone for _, tone, _ in SKIN])
    far = np.sqrt(((middle[:, :, :, None] - tones) ** 2).sum(-1))  # (N, h, w, tones)
    nearest = np.where(far.min(-1) <= NEAR, far.argmin(-1), -1)
    counts = np.stack([(nearest == tone).sum((1, 2)) for tone in range(len(tones))], axis=1)
    return np.array([name for name, _, _ in SKIN])[counts.argmax(1)]


def hair_of_heads(columns) -> np.ndarray:
    """Names of `HAIR` of all rows of `faces_age_64`; "" where there is no hair to be seen."""
    gray = np.where(columns["gray"] >= 0.5, "gray", columns["hair_color"].astype("<U10"))
    return np.where(columns["hair_style"] == "bald", "", gray)


def kept(kind: str) -> Callable:
    """Share of transferred heads that show the hair or the skin that stands for their own."""
    dark_tones = [name for name, _, dark in SKIN if dark]

    def fits(source, found):
        return found in HAIR[source] if kind == "hair" else (found in dark_tones) == source

    def read(shown):
        from ganzoo.metrics.features import lorelei_cnn

        return lorelei_cnn.read(shown)["hair_color"] if kind == "hair" else skin_of(shown)

    def run(subject: Subject, which: str, name: str, n: int | None):
        columns = _source(subject, name, "faces_age_64")
        if which == "floor":
            return None
        sources = hair_of_heads(columns) if kind == "hair" else columns["african"] >= DARK
        found = subject.sets.once(("kept", kind, which), lambda: read(subject.sets.pictures(which).array()))[:n]
        sources = sources[subject.rows_of(columns["split"])][: len(found)]
        known = sources != "" if kind == "hair" else np.ones(len(sources), bool)
        sources, found = sources[known], found[known]
        value = float(np.mean([fits(source, one) for source, one in zip(sources, found, strict=True)]))
        chance = _chance(fits, sources, found)
        note = f"chance, with the heads exchanged, {chance:.4f}{_of_real(subject, kind, read)}"
        return name, len(found), Score(value, note=note)

    return run


def _of_real(subject: Subject, kind: str, read: Callable) -> str:
    """What the reader says of the real characters, whose attributes are known."""
    if data_layer.bundled.canonical(subject.config.source_b) != "lorelei_64":
        return ""
    columns = data_layer.bundled.columns("lorelei_64")
    truth = columns["hair_color" if kind == "hair" else "skin"][subject.rows_of(columns["split"])].astype(str)
    found = subject.sets.once(("kept", kind, "reference"), lambda: read(subject.sets.pictures("reference").array()))
    return f"; real characters {np.mean(found == truth):.4f}, the reader's own accuracy"


PROTOCOLS: dict[str, Callable] = {
    "digit kept": digits("fake"),
    "digit kept by the input": digits("input"),
    "digit by f": by_f,
    "hair kept": kept("hair"),
    "skin kept": kept("skin"),
}
