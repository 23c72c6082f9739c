"""Under which licence training data are: what the run says, what the data say, or "unknown"."""

from typing import TYPE_CHECKING

from ganzoo.data import bundled
from ganzoo.files import given_path
from ganzoo.presets import licences
from ganzoo.presets.licences import Passport

if TYPE_CHECKING:
    from ganzoo.data.source import Source


def passport(source: "Source") -> Passport:
    """Licence and attribution of opened data: `data.licence`, that of a bundled set, a LICENCE file at the top of a folder,
    what TensorFlow Datasets states; else unknown."""
    config = source.config
    if config.source_b and not config.licence:
        return licences.together(*(passport(side) for side in source.sides.values()))
    if config.licence:
        return Passport(licences.spdx(config.licence))
    name = bundled.canonical(config.source)
    if name is not None:
        return of_bundled(name)
    folder = given_path(config.source)
    found = licences.of_folder(folder) if folder.is_dir() else None
    if found is not None:
        return found
    stated = source.summary().get("licence")
    return Passport(licences.spdx(stated)) if isinstance(stated, str) else Passport()


def of_bundled(name: str) -> Passport:
    """Of the pictures of a bundled set, or of one of its parts ("emoji_64/noto")."""
    facts, part = bundled.facts(name), name.partition("/")[2]
    stated, said = facts.get("spdx", facts.get("licence", "")), facts.get("attribution", "")
    if isinstance(stated, dict):
        parts = [stated[part]] if part in stated else [text for key, text in stated.items() if key != "index"]
        stated = licences.combined(licences.spdx(text) for text in parts)
    if isinstance(said, dict):
        said = " ".join(text for key, text in said.items() if key != "index" and (not part or key == part))
    return Passport(licences.spdx(stated), said)
