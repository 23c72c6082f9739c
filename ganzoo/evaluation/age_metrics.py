"""Metrics of models that show faces at other ages, by the protocol of their paper (section 3), on held-out faces.

`same-person-identity`, `same-person-pixels`, `same-person-z0`: the share of reconstructions G(z*, y0) that the face descriptor
takes for the person of the face, with z* of both searches and z0 = E(x). (An untrained model is measured by z0 alone: its
pictures are grey wherever a search goes.) `same-person-other` is that of another person's face of the same age class, which
is chance. (The search for identity minimises what this descriptor then judges, where the paper has two networks: its share is
what the search reaches, and no second opinion.) The threshold is measured on the training pictures: of pairs of two persons of one age class it takes one in a
hundred for one person.

`asked-age`: the share of faces at each age class, made by the search for identity, whose age age-cnn reads as the class that was
asked for. Its floor is that of the real test faces, which is the reader's own accuracy; chance is 1/6.

The own age of a face is given, by its label. Faces are spread over the split; 16 by default, since each is searched for.
"""

from collections.abc import Callable

import numpy as np

from ganzoo.base import age_reader, face_descriptor
from ganzoo.data import bundled
from ganzoo.errors import GanzooError
from ganzoo.evaluation.scores import Score
from ganzoo.evaluation.sets import Subject

FACES = 16  # held-out ones of a measurement, unless another number is asked for
PAIRS, SHARE = 1000, 0.01  # training faces of the threshold, and how many pairs of persons it takes for one
HOW = {"z0": False, "pixels": "pixels", "identity": True}


def _chosen(subject: Subject, n: int | None) -> np.ndarray:
    """Rows of the test split, spread over it."""
    total = len(subject.test)
    return np.unique(np.linspace(0, total - 1, min(n or FACES, total)).round().astype(int))


def _shown(source, rows: np.ndarray) -> np.ndarray:
    """uint8 (n, S, S, C): pictures of a source."""
    place = source.columns.index("image")
    return np.stack([source.fetch(int(i), source.size)[place] for i in rows])


def _faces(subject: Subject, n: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 (n, S, S, C), classes (n,)): faces of the test split."""
    rows = _chosen(subject, n)
    return _shown(subject.test, rows), subject.test.labels[rows]


def _latents(subject: Subject, which: str, how: str, n: int | None):
    """z of the faces by one of the searches, of the model or of an untrained one; made once."""

    def made():
        model = subject.model if which == "fake" else subject.untrained
        shown, labels = _faces(subject, n)
        return model.search(model.faces_in(shown), labels, HOW[how])

    return subject.sets.once(("latents of faces", which, how, n), made)


def threshold(subject: Subject) -> float:
    """The distance below which the descriptor calls two faces one person, by pairs of training faces of one age class."""

    def measured():
        total = len(subject.train)
        rows = np.unique(np.linspace(0, total - 1, min(PAIRS, total)).round().astype(int))
        described = face_descriptor.descriptors(_shown(subject.train, rows))
        return of_pairs(described, _persons(subject, subject.config.split)[rows], subject.train.labels[rows], SHARE)

    return subject.sets.once(("threshold of persons",), measured)


def of_pairs(rows: np.ndarray, persons: np.ndarray, classes: np.ndarray, share: float) -> float:
    """The distance that `share` of the pairs of two persons of one class are below. rows: descriptors (n, d)."""
    apart = []
    for one in range(len(rows) - 1):
        others = (persons[one + 1 :] != persons[one]) & (classes[one + 1 :] == classes[one])
        apart.append(np.linalg.norm(rows[one + 1 :][others] - rows[one], axis=1))
    return float(np.quantile(np.concatenate(apart), share))


def _persons(subject: Subject, split: str) -> np.ndarray:
    """Who is on each picture of a split."""
    known = bundled.canonical(subject.config.source)
    if known != "faces_age_64":
        raise GanzooError(
            f"Whether two faces are one person is measured by a threshold of known persons, which {subject.config.source} does "
            "not tell; the bundled set faces_age_64 does."
        )
    columns = bundled.columns(known)
    return columns["identity"][np.isin(columns["split"], split.split("+"))]


def same_person(how: str) -> Callable:
    def run(subject: Subject, which: str, name: str, n: int | None):
        if which == "floor" or (which == "ceiling" and HOW[how]):  # the face itself; a search in what is grey
            return None
        limit, (shown, labels) = threshold(subject), _faces(subject, n)
        model = subject.model if which == "fake" else subject.untrained
        made = model.faces_of(_latents(subject, which, how, n), labels)
        apart = _distances(shown, made)
        note = f"below {limit:.3f}, where 1 % of two persons are; mean distance {apart.mean():.3f}"
        note += "; judged by the descriptor that the search minimises" if HOW[how] is True else ""
        return name, len(shown), Score(float(np.mean(apart < limit)), note=note)

    return run


def other_person(subject: Subject, which: str, name: str, n: int | None):
    """Each face compared with the next one of its age class in the test split that is another person's."""
    if which != "fake":
        return None
    limit, rows, persons, labels = (
        threshold(subject),
        _chosen(subject, n),
        _persons(subject, subject.split),
        subject.test.labels,
    )
    partners = np.array([_partner(row, persons, labels) for row in rows])
    apart = _distances(_shown(subject.test, rows), _shown(subject.test, partners))
    note = f"chance: another held-out person of the same age class; mean distance {apart.mean():.3f}"
    return name, len(rows), Score(float(np.mean(apart < limit)), note=note)


def _partner(row: int, persons: np.ndarray, classes: np.ndarray) -> int:
    others = np.flatnonzero((persons != persons[row]) & (classes == classes[row]))
    return int(others[np.searchsorted(others, row) % len(others)])


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    rows = [face_descriptor.descriptors(faces) for faces in (one, other)]
    return np.asarray(face_descriptor.distances(*rows))


def asked_age(subject: Subject, which: str, name: str, n: int | None):
    if which == "floor":
        shown, labels = _faces(subject, len(subject.test))
        note = "real test faces: the accuracy of the reader"
        return name, len(shown), Score(float(np.mean(age_reader.classes(shown) == labels)), note=note)
    if which == "ceiling":
        return None
    model, latents = subject.model, _latents(subject, which, "identity", n)
    made = model.aged(latents, range(model.classes))
    asked = np.tile(np.arange(model.classes), len(latents))
    said = age_reader.classes(made)
    near = float(np.mean(np.abs(said - asked) <= 1))
    note = f"read by age-cnn; chance {1 / model.classes:.3f}; in the class asked or next to it {near:.3f}"
    return name, len(latents), Score(float(np.mean(said == asked)), note=note)


METRICS: dict[str, Callable] = {f"same-person-{how}": same_person(how) for how in HOW} | {
    "same-person-other": other_person,
    "asked-age": asked_age,
}
