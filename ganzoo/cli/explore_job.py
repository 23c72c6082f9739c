"""What the verbs of `ganzoo explore` share: points read, model loaded, sheet or animation written, result said."""

from pathlib import Path
from typing import Any

from ganzoo.cli.output import report, writable_file
from ganzoo.cli.sample import weights_choice
from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import GanzooError

SUFFIXES = (".png", ".gif", ".mp4")
SHEET, FRAME = 128, 256  # pixels that a sheet's cells and a lone animated picture are enlarged to, about


class Job:
    """One command's model, output and facts, which also stand in the PNG's text chunks or the animation's comment."""

    def __init__(self, verb: str, name: str, out: Path, seed: int, weights: str, scale: int | None, fps: int):
        if out.suffix.lower() not in SUFFIXES:
            raise GanzooError(f'A sheet is a .png file, an animation a .gif or .mp4 file; received "{out}".')
        self.verb, self.name, self.out, self.seed = verb, name, writable_file(out), seed
        self.weights, self.scale, self.fps = weights_choice(weights), scale, fps
        self.animated = out.suffix.lower() != ".png"
        self.files: list[Path] = []
        self.facts: dict[str, Any] = {}
        if out.suffix.lower() == ".mp4":
            from ganzoo.media.animation import require_video

            require_video()

    def points(self, text: str | None, count: int, *, first: int = 0) -> list:
        """The points named in `text`, or `count` samples of --seed; their names are checked before the model is read."""
        from ganzoo.explore import points

        found = points.cells(self.seed, first, count) if text is None else points.points(text)
        for point in found:
            if point.file is not None and not point.file.is_file():
                raise GanzooError(f'There is no file "{point.file}".')
        return found

    def load(self) -> None:
        """Loads the model; what was wrong with the other words of the command is said before."""
        load_tensorflow(self.seed % 2**32)
        import ganzoo
        from ganzoo.sampling import png_text

        self.model = ganzoo.load(self.name, weights=self.weights)
        self.text = png_text(self.model, self.seed)

    def labels(self, given: str | list[str] | None) -> int | list[int] | None:
        """The classes that are given by name or number, one or several; None for none."""
        from ganzoo.sampling import read_labels

        if not given:
            return None
        found = read_labels(self.model, [given] if isinstance(given, str) else given)
        return found if len(found) > 1 else found[0]

    def style(self, psi: float | None, cutoff: int | None, label, attributes: str | None = None) -> dict[str, Any]:
        """What of these options of a command was given, as arguments of `ganzoo.explore`."""
        return options(truncation_psi=psi, cutoff=cutoff, label=self.labels(label), attributes=asked_for(attributes))

    def note(self, **facts: Any) -> None:
        """What else the result says of its making; options that were not used are None and left out."""
        given = {key: value for key, value in facts.items() if value is not None}
        self.facts = {
            k: [_plain(v) for v in value] if isinstance(value, list) else _plain(value) for k, value in given.items()
        }
        plain = {k: " ".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in self.facts.items()}
        self.text = {**self.text, "explore": self.verb, **plain}

    def enlarge(self, pictures, side: int):
        """Pictures (..., H, W, C) by --scale, or to a side of about so many pixels."""
        from ganzoo.media import animation

        return animation.enlarge(pictures, self.scale or max(1, side // pictures.shape[-3]))

    def write_sheet(self, table, *, rows=(), columns=()) -> None:
        """The table of pictures, captions and all, as a PNG."""
        from ganzoo.media import animation, images

        images.write_png(self.out, animation.sheet(table, rows=rows, columns=columns), self.text)
        self.files.append(self.out)

    def write_film(self, tables) -> None:
        """Tables of pictures (rows, columns, H, W, C), or pictures alone, as the frames of an animation."""
        import numpy as np

        from ganzoo.media import animation, images

        frames = [t if t.ndim == 3 else images.grid(t.reshape(-1, *t.shape[2:]), t.shape[1]) for t in tables]
        animation.write_animation(self.out, np.stack(frames), self.text, fps=self.fps)
        self.files.append(self.out)

    def write_sweep(self, table, *, rows, columns) -> None:
        """The table as a sheet; or its columns one after the other and back, as many pictures side by side as rows."""
        from ganzoo.media import animation

        table = self.enlarge(table, FRAME if self.animated and len(table) == 1 else SHEET)
        if self.animated:
            self.write_film(animation.there_and_back([column[None] for column in table.swapaxes(0, 1)]))
        else:
            self.write_sheet(table, rows=rows, columns=columns)

    def report(self, as_json: bool, **more: Any) -> None:
        """The last line: the files and how they came about."""

        files = [str(file) for file in self.files]
        value = {"model": self.model.full_name, "weights": self.model.weights_source, "seed": self.seed}
        text = f"{files[0]} ({value['model']}, weights {value['weights']})"
        if "distances" in more:
            far = more["distances"]
            text += f": mean difference {far['result_l1']:.1%} (nearest sample {far['start_l1']:.1%}); {files[1]}"
        report(value | {"explore": self.verb} | self.facts | more | {"files": files}, text, as_json=as_json)


def asked_for(text: str | None) -> dict | None:
    """What --attributes asks for."""
    from ganzoo.sampling import attributes_of

    return None if text is None else attributes_of(text)


def options(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {key: value for key, value in options.items() if value is not None}


def numbers(option: str, text: str) -> list[float]:
    """ "1,0.7" as [1.0, 0.7]."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise GanzooError(f'{option} takes numbers as 1,0.7,0; received "{text}".') from None


def whole_numbers(option: str, text: str) -> list[int]:
    """ "0-2,5" as [0, 1, 2, 5]."""
    found: list[int] = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise GanzooError(f'{option} takes whole numbers as 0-4 or 2,5; received "{text}".')
        span = range(int(first), int(last or first) + 1)
        if not 0 < len(span) <= 64:
            raise GanzooError(f'{option}: "{word}" must rise, by less than 64.')
        found += span
    return found


def _plain(value: Any) -> str | int | float:
    return value if isinstance(value, str | int | float) else str(value)
