"""Licence passport: SPDX ids of weights and data, what they ask of a product, and how they combine. No TensorFlow.

Weights carry the licences of all data that they were trained on, of the weights that they began from included. What nobody
stated is "unknown" (`LicenseRef-unknown`), and is neither commercial nor free.
"""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError, nearest
from ganzoo.files import read_json, read_text, shown

UNKNOWN = "LicenseRef-unknown"
CODE = "Apache-2.0"  # of ganzoo itself
FILES = ("LICENCE", "LICENSE", "LICENCE.txt", "LICENSE.txt", "LICENCE.md", "LICENSE.md")
USES = ("commercial",)
LONGEST = 2000  # characters of an attribution that is carried on


@dataclasses.dataclass(frozen=True)
class Terms:
    """What a licence asks: commercial use, naming the authors, the same licence for what is made from the work."""

    commercial: bool
    attribution: bool
    share_alike: bool = False
    derivatives: bool = True


FREE, NAMED = Terms(True, False), Terms(True, True)
TERMS = {
    "CC0-1.0": FREE,
    "Unlicense": FREE,
    "PDDL-1.0": FREE,
    "MIT": NAMED,
    "Apache-2.0": NAMED,
    "BSD-2-Clause": NAMED,
    "BSD-3-Clause": NAMED,
    "ISC": NAMED,
    "OFL-1.1": NAMED,
    "CC-BY-2.0": NAMED,
    "CC-BY-3.0": NAMED,
    "CC-BY-3.0-US": NAMED,
    "CC-BY-4.0": NAMED,
    "CC-BY-SA-3.0": Terms(True, True, share_alike=True),
    "CC-BY-SA-4.0": Terms(True, True, share_alike=True),
    "ODbL-1.0": Terms(True, True, share_alike=True),
    "CC-BY-NC-2.0": Terms(False, True),
    "CC-BY-NC-4.0": Terms(False, True),
    "CC-BY-NC-SA-4.0": Terms(False, True, share_alike=True),
    "CC-BY-ND-4.0": Terms(True, True, derivatives=False),
    "CC-BY-NC-ND-4.0": Terms(False, True, derivatives=False),
}
SHORT = {"cc0": "CC0-1.0", "apache": "Apache-2.0", "apache2": "Apache-2.0", "bsd3": "BSD-3-Clause"}
UNSTATED = ("", "unknown", "none", "not stated by TFDS", UNKNOWN)
TEXTS = {  # how the file of a licence begins, without its copyright line
    "MIT": "permission is hereby granted, free of charge, to any person obtaining a copy of this software",
    "Apache-2.0": "apache license version 2.0",
    "CC0-1.0": "cc0 1.0 universal",
    "CC-BY-4.0": "attribution 4.0 international",
    "CC-BY-SA-4.0": "attribution-sharealike 4.0 international",
    "CC-BY-NC-4.0": "attribution-noncommercial 4.0 international",
    "CC-BY-NC-SA-4.0": "attribution-noncommercial-sharealike 4.0 international",
    "CC-BY-ND-4.0": "attribution-noderivatives 4.0 international",
}


@dataclasses.dataclass(frozen=True)
class Passport:
    """Licence (SPDX expression, ids joined by AND) and attribution of weights or data."""

    licence: str = UNKNOWN
    attribution: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the expression."""
        return tuple(self.licence.split(" AND "))

    @property
    def unknown(self) -> bool:
        """Whether nobody stated it, or not of all that went in."""
        return UNKNOWN in self.ids

    @property
    def share_alike(self) -> tuple[str, ...]:
        """Those of the ids that ask for the same licence."""
        return tuple(name for name in self.ids if name in TERMS and TERMS[name].share_alike)

    def refuses(self, use: str) -> str:
        """Why the licence does not allow a use of `USES`; "" if it does.

        Raises:
            GanzooError: another use.
        """
        if use not in USES:
            raise GanzooError(f'There is no use "{use}" to require; there is {", ".join(USES)}.{nearest(use, USES)}')
        for name in self.ids:
            if name not in TERMS:
                return (
                    "nobody has stated its licence" if name == UNKNOWN else f"ganzoo does not know the terms of {name}"
                )
            if not TERMS[name].commercial:
                return f"{name} forbids commercial use"
            if not TERMS[name].derivatives:
                return f"{name} forbids works that are derived"
        return ""

    def duties(self) -> list[str]:
        """What a product that uses it must do, a sentence each."""
        said = []
        if self.unknown:
            said.append("The licence of a part is unknown: ask its maker before you give anything on.")
        if any(name in TERMS and TERMS[name].attribution for name in self.ids):
            said.append(f"Print: {self.attribution or 'the names of the authors'} Licence: {self.licence}.")
        for name in self.share_alike:
            said.append(f"Give what you derive on under {name} (share-alike).")
        for name in self.ids:
            if name in TERMS and not TERMS[name].commercial:
                said.append(f"No commercial use ({name}).")
        return said or ["Nothing: no notice is required."]


def spdx(text: str) -> str:
    """The SPDX expression of a licence as people write it: "CC BY 4.0" -> CC-BY-4.0, "MIT and Apache-2.0" -> both.

    What is not one of `TERMS` becomes LicenseRef-unknown if it is empty or says so, else LicenseRef-<its letters>: it is
    carried on, and nothing is claimed of it.
    """
    plain = re.sub(r"\([^()]*\)", "", text).strip()
    return combined(_one(part) for part in re.split(r"\s+(?:AND|and)\s+|\s*[,;]\s*", plain))


def _one(name: str) -> str:
    known = {_plain(spelling): spelling for spelling in TERMS} | SHORT
    if _plain(name) in known:
        return known[_plain(name)]
    if _plain(name) in map(_plain, UNSTATED):
        return UNKNOWN
    return "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", name.strip().removeprefix("LicenseRef-")).strip("-")[:60]


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]|(?<!un)licen[cs]e(?!ref)", "", name.casefold())


def combined(licences: Iterable[str]) -> str:
    """One expression of several: every id once, in the order of their names."""
    ids = {name for licence in licences for name in licence.split(" AND ")}
    return " AND ".join(sorted(ids)) or UNKNOWN


def together(*passports: Passport) -> Passport:
    """What holds for weights that all of these went into."""
    said = dict.fromkeys(p.attribution.strip() for p in passports if p.attribution.strip())
    return Passport(combined(p.licence for p in passports), " ".join(said)[:LONGEST])


def of_folder(folder: Path) -> Passport | None:
    """What a folder of data says: its LICENCE or LICENSE file. None without one.

    The file holds an SPDX id ("CC-BY-4.0", or a line "SPDX-License-Identifier: ..."), and further lines are the attribution;
    or it is the text of a licence that is known here.
    """
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        return None
    return of_text(read_text(file))


def of_text(text: str) -> Passport:
    """The passport that the text of a LICENCE file means."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    tagged = re.search(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+(?: AND [A-Za-z0-9.+-]+)*)", text)
    flowing = " ".join(text.split()).casefold()
    holders = " ".join(line for line in lines if re.match(r"copyright|\(c\)|©", line, re.IGNORECASE))
    if tagged:
        return Passport(spdx(tagged[1]), holders[:LONGEST])
    for name, start in TEXTS.items():
        if start in flowing.replace(", version", " version"):
            return Passport(name, holders[:LONGEST])
    if lines and len(lines[0]) <= 80:
        return Passport(spdx(lines[0]), " ".join(lines[1:])[:LONGEST])
    return Passport(UNKNOWN, holders[:LONGEST])


def of_preset(name: str) -> Passport | None:
    """Of the published weights of "paper/preset" or a paper's default preset; None without weights."""
    from ganzoo.presets.catalogue import read, resolve

    paper, preset = resolve(name)
    weights = read(paper).presets[preset].weights
    return Passport(spdx(weights.licence), weights.attribution) if weights else None


def of_manifest(value: Any) -> Passport:
    """Of the facts in the manifest.json of a model folder; it comes from anywhere, so what is not a text is left out."""
    licence, said = (value.get(key) if isinstance(value, dict) else None for key in ("licence", "attribution"))
    return Passport(
        spdx(licence) if isinstance(licence, str) else UNKNOWN, said[:LONGEST] if isinstance(said, str) else ""
    )


def of_model_folder(folder: Path) -> Passport:
    """Of a folder that training, `ganzoo.save` or `ganzoo export` wrote.

    Raises:
        GanzooError: it is none.
    """
    for place in ("manifest.json", "model/manifest.json", "1/assets.extra/manifest.json", "assets.extra/manifest.json"):
        if (folder / place).is_file():
            return of_manifest(read_json(folder / place))
    raise GanzooError(f"{shown(folder)} contains no model: there is no manifest.json in it.")


def printed(name: str, passport: Passport) -> str:
    """What a product must print of a model and of the program, as Markdown."""
    facts = [
        f"- Weights: {passport.licence}",
        *([f"- Attribution: {passport.attribution}"] if passport.attribution else []),
    ]
    duties = "\n".join(f"- {sentence}" for sentence in passport.duties())
    return (
        f"## {name}\n\n- Code: ganzoo, {CODE}\n" + "\n".join(facts) + "\n- Pictures made with it: as the weights\n\n"
        f"What a product must do:\n\n{duties}\n- Pass on the text of {CODE} with ganzoo's code.\n"
    )


def as_json(passport: Passport) -> dict[str, Any]:
    """The passport for a report."""
    return dataclasses.asdict(passport) | {
        "share_alike": list(passport.share_alike),
        "commercial": not passport.refuses("commercial"),
        "duties": passport.duties(),
    }
