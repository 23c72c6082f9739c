"""`ganzoo replay`: makes a picture again from what it says of itself, and compares."""

import contextlib
import hashlib
import io
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import typer

from ganzoo import files
from ganzoo.cli.output import report, writable_file
from ganzoo.errors import GanzooError, nearest
from ganzoo.presets.records import Record, validate
from ganzoo.replay import FORMAT, KEY, SILENT, VERBS, sidecar

Word = str | int | float | bool


class Recipe(Record):
    """The chunk "replay" of a picture; it comes from anywhere, so that only what is named here is read."""

    verb: str
    arguments: dict[str, Word | list[Word]]
    versions: dict[str, str]
    machine: dict[str, str]

    @pydantic.field_validator("verb")
    @classmethod
    def _known(cls, verb):
        if verb not in VERBS:
            raise ValueError(f'no verb "{verb}" writes pictures{nearest(verb, VERBS)}')
        return verb

    @pydantic.field_validator("arguments")
    @classmethod
    def _names_no_file_to_write(cls, arguments):
        for key in arguments.keys() & SILENT:
            raise ValueError(f'"{key}" is not for a picture to say')
        return arguments


class Sidecar(Record):
    """The file next to a grid or a film. `text` is that of a PNG; `role` the argument that named the file."""

    format: Literal[FORMAT]  # type: ignore[valid-type]
    file: str
    sha256: str
    role: Literal["out", "gif"]
    text: dict[str, str]


class Origin:
    """What a file says of its making.

    Raises:
        GanzooError: it says nothing, or nothing that can be read.
    """

    def __init__(self, path: Path):
        beside, self.role, self.sha256 = sidecar(path), "out", None
        if beside.is_file():
            value = files.read_json(beside)
            found = validate(Sidecar, value if isinstance(value, dict) else {}, files.shown(beside))
            self.role, self.sha256, self.text = found.role, found.sha256, found.text
        else:
            self.text = png_text(path)
        if KEY not in self.text:
            raise GanzooError(
                f'"{files.shown(path)}" does not say how it was made: there is no {beside.name} next to it, and no text '
                "of it is from `ganzoo sample` or `ganzoo explore`. Pictures of a training have the weights of their step."
            )
        where = f'"{files.shown(path)}"'
        value = files.parse_json(self.text[KEY], where)
        self.recipe = validate(Recipe, value if isinstance(value, dict) else {}, where)

    def facts(self) -> dict[str, str]:
        """What decides the bytes, by name: weights, versions, machine."""
        weights = self.text.get("weights", "").rpartition(":")[2]
        own = {"model": self.text.get("model", ""), "weights": weights, "input": self.text.get("input_sha256", "")[:8]}
        return own | self.recipe.versions | self.recipe.machine


def png_text(path: Path) -> dict[str, str]:
    """The text chunks before the pixels of a PNG; {} of another file. The pixels are not decoded."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(files.read_bytes(path)), formats=("PNG",)) as picture:
            return {str(key): value for key, value in picture.info.items() if isinstance(value, str)}
    except (OSError, ValueError, SyntaxError):
        return {}


def replay(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A .png, .gif or .mp4 file that ganzoo wrote.")],
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model, where its folder has another name than then.")
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="The picture it was made from; by default that of its name, next to it or here.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Keep the new file here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make a picture again and say whether the bytes are equal, or what differs: weights, version, machine or input.

    Exit code 0 where the bytes are equal, 1 where they are not. A file of somebody else is read and nothing more: it can name
    a model, a seed and options, and the new picture goes to a folder of its own.
    """
    if not picture.is_file():
        raise GanzooError(f'There is no file "{picture}".')
    if out is not None:
        writable_file(out)
    origin = Origin(picture)
    source = _input(origin, picture, input)
    with tempfile.TemporaryDirectory() as folder:
        made = _make(origin, Path(folder), picture.suffix.lower(), model, source)
        value = compare(picture, origin, made)
        if out is not None:
            files.write_bytes(out, made.read_bytes())
    value = {"picture": str(picture), **value, "file": str(out) if out else None}
    report(value, f"{picture}: {_sentence(value)}", as_json=as_json)
    if not value["equal"]:
        raise typer.Exit(1)


def _input(origin: Origin, picture: Path, given: str | None) -> str | None:
    """The picture to start from, if it had one. Its name comes from the file: a folder in it is left out."""
    name = Path(origin.text.get("input", "").replace("\\", "/")).name
    if given is not None or not name:
        return given
    for folder in (picture.parent, Path()):
        if (folder / name).is_file():
            return str(folder / name)
    raise GanzooError(
        f'"{picture}" was made from "{name}", which is neither next to it nor here: give it with --input.'
    )


def _make(origin: Origin, folder: Path, suffix: str, model: str | None, source: str | None) -> Path:
    """Runs the verb again; its files go to `folder`."""
    target = folder / f"again{suffix}"
    arguments: dict[str, Any] = dict(origin.recipe.arguments)
    separate = bool(arguments.get("separate"))
    outputs = {"out": folder / "many" if separate else target}
    if origin.role == "gif":
        outputs = {"out": folder / "grid.png", "gif": target}
    given = {"name": model, "input": source}
    words = _words(origin.recipe.verb, arguments | {k: v for k, v in given.items() if v is not None} | outputs)
    with contextlib.redirect_stdout(io.StringIO()):
        _command(origin.recipe.verb).main(words, standalone_mode=False, prog_name="ganzoo replay")
    if separate:
        number = origin.text.get("sample", "")
        found = sorted((folder / "many").iterdir())
        if not number.isdecimal() or int(number) >= len(found):
            raise GanzooError(f"The picture says that it is sample {number or 'without a number'} of {len(found)}.")
        return found[int(number)]
    return target


def _command(verb: str):
    """The command of a verb such as "explore walk"."""
    from ganzoo.cli.app import app

    command = typer.main.get_command(app)
    for name in verb.split():
        command = command.commands[name]  # type: ignore[attr-defined]
    return command


def _words(verb: str, arguments: dict[str, Any]) -> list[str]:
    """The command line of a verb with these arguments, each as the verb's own parser takes it."""
    options = {param.name: param for param in _command(verb).params}
    words, last = [], []
    for key, value in arguments.items():
        if key not in options:
            raise GanzooError(f"ganzoo {verb} has no option {key}: the picture was made by another version.")
        param = options[key]
        if param.param_type_name == "argument":
            last.append(str(value))
            continue
        option = max(param.opts, key=len)
        if getattr(param, "is_flag", False):
            words += [option] if value is True else []
        else:
            # One word for a long option, so that no value is read as an option.
            values = value if isinstance(value, list) else [value]
            words += [word for v in values for word in ([f"{option}={v}"] if option[:2] == "--" else [option, str(v)])]
    return [*words, "--", *last]


def compare(picture: Path, origin: Origin, made: Path) -> dict[str, Any]:
    """Whether two files have equal bytes, how far their pixels lie apart, and which recorded facts differ."""
    then, now = picture.read_bytes(), made.read_bytes()
    new = Origin(made)
    before, after = origin.facts(), new.facts()
    differences = [
        {"what": key, "then": before.get(key, ""), "now": after.get(key, "")}
        for key in dict.fromkeys([*before, *after])
        if before.get(key, "") != after.get(key, "")
    ]
    value = {"equal": then == now, "differences": differences}
    value["changed_since"] = origin.sha256 is not None and origin.sha256 != hashlib.sha256(then).hexdigest()
    if then != now and picture.suffix.lower() == ".png":
        value |= _pixels(picture, made)
    return value


def _pixels(picture: Path, made: Path) -> dict[str, Any]:
    import numpy as np

    from ganzoo.media import images

    a, b = images.read_image(picture), images.read_image(made)
    if a.shape != b.shape:
        return {"pixels_equal": False, "sizes": [list(a.shape), list(b.shape)]}
    far = np.abs(a.astype(int) - b)
    return {"pixels_equal": not far.any(), "largest_difference": int(far.max()), "share": float((far > 0).mean())}


def _sentence(value: dict[str, Any]) -> str:
    if value["equal"]:
        return "made again, every byte is equal."
    if value.get("pixels_equal"):
        text = "made again, every pixel is equal; the bytes differ in what the file says of its making."
    elif "sizes" in value:
        text = "made again, but the sizes differ: {} and {}.".format(*value["sizes"])
    elif "share" in value:
        text = f"made again, but {value['share']:.1%} of the values differ, by {value['largest_difference']} of 255 at most."
    else:
        text = "made again, but the bytes differ."
    if value["changed_since"]:
        text += " The file was changed since it was written."
    found = [f"{d['what']} ({d['then'] or 'none'} then, {d['now'] or 'none'} now)" for d in value["differences"]]
    return f"{text} Different: {', '.join(found)}." if found else f"{text} Nothing else that is recorded differs."
