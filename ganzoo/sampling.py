"""Pictures out of a loaded model and into PNG files that say where they came from.

The same model, seed and input give the same bytes. Every PNG's text chunks carry `model` ("dcgan/fashion-32"),
`weights` (`weights_source`, with the first digits of the hash), `seed`, `ganzoo` (the version), `licence` and `attribution`, and
`direction`, `psi`, `cutoff`, `truncation`, `label` and `attributes` (JSON) where they were asked for; those of the command line also how to make
them again (`ganzoo.replay`).
"""

import glob
import inspect
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import __version__, presets, replay
from ganzoo.base import BaseGAN, faces, labels
from ganzoo.base.pixels import LARGEST, cropped
from ganzoo.errors import GanzooError, nearest
from ganzoo.files import given_path, is_hidden, kind_of, names_below, parse_json, real_path, shown
from ganzoo.media import animation, images, shapes3d

GRID_CELL = 512  # the largest cell of a grid made from pictures of unlike sizes
MUCH_LARGER = 4  # times the size that a model was trained at
GLOB = set("*?[")
# Of an option of `generate`, what a model has that takes it.
OPTIONS = {
    "truncation_psi": "styles to truncate",
    "cutoff": "layers of styles",
    "label": "classes",
    "attributes": "attributes",
    "truncation": "truncated noise",
    "resample": "truncated noise",
}


@dataclass(frozen=True)
class Written:
    """What a sampling wrote: its `files`, the inputs that were left out as (file, reason), and remarks on the others."""

    files: list[Path]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def facts(model: Any, seed: int, **options: Any) -> dict[str, str]:
    """What a picture that `model` made with `seed` and other arguments of `generate` says of itself."""
    text = {"model": model.full_name, "weights": model.weights_source, "seed": str(seed), "ganzoo": __version__}
    if model.passport is not None:  # derived pictures are under what the weights are under
        text |= {"licence": model.passport.licence}
        text |= {"attribution": model.passport.attribution} if model.passport.attribution else {}
    said = dict(options)
    if "label" in said:
        given = said["label"] if isinstance(said["label"], list) else [said["label"]]
        said["label"] = ", ".join(labels.class_name(model, one) for one in given)
    if "attributes" in said:
        said["attributes"] = json.dumps(said["attributes"], ensure_ascii=False)
    text |= {name_of(name): str(value) for name, value in said.items()}
    return {key: value.encode("utf-8", "replace").decode() for key, value in text.items()}


def png_text(model: Any, seed: int, **options: Any) -> dict[str, str]:
    """The text chunks of every such picture: `facts`, and how `ganzoo replay` makes it again."""
    found = facts(model, seed, **options)
    return found | replay.chunk(found)


def require_task(model: Any, task: str) -> None:
    """Raises GanzooError unless `model` turns noise ("latent"), pictures ("image") or "text" into pictures, as asked."""
    if model.task == task or (task == "image" and model.reads_pictures):
        return
    if model.task == "text":
        raise GanzooError(
            f'{model.full_name} draws what a sentence says: give it one, as --text "a girl with long pink hair".'
        )
    if task == "text":
        raise GanzooError(f"{model.full_name} reads no text; leave --text out.")
    if task == "image":
        raise GanzooError(f"{model.full_name} makes pictures from noise and takes no --input; leave it out.")
    raise GanzooError(f"{model.full_name} turns pictures into pictures: give it one with --input FILE, FOLDER or GLOB.")


def require_options(model: Any, options: dict[str, Any]) -> None:
    """Raises GanzooError for an option (one of OPTIONS) that the model's `generate` does not take."""
    takes = inspect.signature(model.generate).parameters
    for name in options:
        if name not in takes or (name == "label" and not model.classes):
            raise GanzooError(f"{model.full_name} has no {OPTIONS[name]} and takes no --{name_of(name)}; leave it out.")


def read_labels(model: Any, given: list[str]) -> list[int]:
    """The numbers of classes that are given by name or number. Raises GanzooError for one that the model does not have."""
    return [labels.class_of(model, one) for one in given]


def attributes_of(text: str) -> dict[str, str | bool]:
    """What a text asks for: "hair=pink,glasses" (a name alone is a boolean that is on), or a JSON object.

    Raises:
        GanzooError: a name twice, none at all, or no JSON.
    """
    if text.strip().startswith("{"):
        found = parse_json(text, "--attributes")
        if not isinstance(found, dict):
            raise GanzooError(f"--attributes is a JSON object, or as hair=pink,glasses; received {text:.60}.")
        return found
    asked: dict[str, str | bool] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not name or (equals and not value):
            raise GanzooError(f'--attributes are names and values as hair=pink,glasses; received "{text:.60}".')
        if name in asked:
            raise GanzooError(
                f'--attributes names "{name:.40}" twice in "{text:.60}"; for several rows give the option again.'
            )
        asked[name] = value if equals else True
    return asked


def name_of(option: str) -> str:
    """What the command line calls an argument of `generate`."""
    return {"truncation_psi": "psi"}.get(option, option)


def sample_grid(model: Any, n: int = 64, seed: int = 0, columns: int | None = None, **options: Any) -> np.ndarray:
    """`n` samples of a model that starts from noise, tiled into one uint8 picture (H, W, C).

    `options` are arguments of `generate`; without `label` a model with classes shows them in turn. A list of labels, or of
    attributes, gives each of them `n` samples, of the same noise, in a row of its own.
    """
    require_task(model, "latent")
    require_options(model, options)
    if _several(options):
        columns = columns or n
    return images.grid(_drawn(model, n, seed, options), columns)


def _drawn(model: Any, n: int, seed: int, options: dict[str, Any]) -> np.ndarray:
    """uint8 samples; of a list of labels or of attributes `n` of each, one after the other."""
    name = _several(options)
    if name is None:
        return model.pictures(model.examples(n, seed, **options))
    made = [model.pictures(model.examples(n, seed, **options | {name: one})) for one in options[name]]
    return np.concatenate(made)


def _several(options: dict[str, Any]) -> str | None:
    """The option that is a list of what the rows of a grid show."""
    return next((name for name in ("label", "attributes") if isinstance(options.get(name), list)), None)


def write_grid(
    model: Any, out: Path, n: int = 64, seed: int = 0, columns: int | None = None, **options: Any
) -> Written:
    """Writes `sample_grid` as the PNG `out`."""
    images.write_png(out, sample_grid(model, n, seed, columns, **options), png_text(model, seed, **options))
    return Written([out])


def write_separate(model: Any, folder: Path, n: int = 64, seed: int = 0, **options: Any) -> Written:
    """Writes `n` samples (of each label) as folder/0000.png, 0001.png, ...; sample i is cell i of the grid of the same seed."""
    require_task(model, "latent")
    require_options(model, options)
    drawn, several, files = _drawn(model, n, seed, options), _several(options), []
    digits = max(4, len(str(len(drawn) - 1)))
    own = [{several: one} for one in options[several]] if several else [{}]
    texts = [png_text(model, seed, **options | row) for row in own]
    for i, picture in enumerate(drawn):
        files.append(folder / f"{i:0{digits}d}.png")
        images.write_png(files[-1], picture, texts[i // n] | {"sample": str(i)})
    return Written(files)


def shapes_of(model: Any, n: int, seed: int, inputs: Sequence[Path] = ()) -> np.ndarray:
    """Shapes for a mesh or a turntable: `n` samples, or those of input pictures.

    Raises:
        GanzooError: a model that makes pictures, or an input that cannot be read.
    """
    if model.makes != "voxels":
        raise GanzooError(
            f"{model.full_name} makes pictures; --gif and --mesh are for models of shapes, such as 3d-gan."
        )
    if inputs:
        return np.concatenate(
            [model.generate(images=images.at_most(images.read_image(path), LARGEST)[None]) for path in inputs]
        )
    return model.generate(n, seed=seed)


def write_turntable(model: Any, path: Path, shapes: np.ndarray, seed: int, columns: int | None = None) -> Written:
    """Writes shapes that turn once around as the animation `path`."""
    frames = [images.grid(frame, columns) for frame in shapes3d.turntable(shapes)]
    animation.write_animation(path, np.stack(frames), png_text(model, seed), fps=12)
    return Written([path])


def write_mesh(model: Any, path: Path, shapes: np.ndarray, seed: int) -> Written:
    """Writes the surfaces of shapes as one .glb, .obj or .stl file."""
    shapes3d.write_meshes(path, shapes, facts=png_text(model, seed))
    return Written([path])


def write_texts(
    model: Any,
    out: Path,
    texts: list[str],
    n: int = 4,
    seed: int = 0,
    columns: int | None = None,
    separate: bool = False,
) -> Written:
    """Writes `n` pictures of each sentence: the PNG `out`, a row for each of several, or out/0000.png, 0001.png, ...

    `skipped` of the result holds what the model remarked on the sentences, each as ("--text", remark).
    """
    require_task(model, "text")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", UserWarning)
        made = model.generate(texts, seed=seed, n_per_text=n)
    text = png_text(model, seed)
    said = [("--text", str(one.message)) for one in heard]
    if separate:
        digits, files = max(4, len(str(len(made) - 1))), []
        for i, picture in enumerate(made):
            files.append(out / f"{i:0{digits}d}.png")
            images.write_png(files[-1], picture, text | {"text": texts[i // n], "sample": str(i)})
        return Written(files, said)
    columns = columns or (n if len(texts) > 1 else None)
    images.write_png(out, images.grid(made, columns), text | {"text": "\n".join(texts)})
    return Written([out], said)


def find_inputs(pattern: str, out: Path | None = None) -> tuple[list[Path], list[tuple[str, str]]]:
    """The picture files that a file name, a folder with its sub-folders or a glob stands for, and (file, reason) of every
    other file there. Those in the folder `out` are not inputs: an earlier call made them.

    Raises:
      GanzooError: nothing is there, or nothing of it is a picture by its suffix.
    """
    path = given_path(pattern)
    kind = kind_of(path)
    if kind == "file":
        return [path], []
    if kind == "special":
        raise GanzooError(f'"{shown(pattern)}" is not a regular file; give a picture, a folder or a glob.')
    if kind == "folder":
        found = [(path / name, is_hidden(name)) for name in names_below(path)]
        what = f'The folder "{shown(pattern)}" contains no picture'
    elif GLOB & set(pattern):
        found = [(Path(p), False) for p in glob.glob(str(path), recursive=True) if os.path.isfile(p)]
        what = f'No picture matches "{shown(pattern)}"'
    else:
        raise GanzooError(f'There is no file or folder "{shown(pattern)}" to take as input.')
    made = real_path(out) if out is not None and kind == "folder" else None
    made = None if made == real_path(path) else made
    inputs, others = [], []
    for file, hidden in sorted(found):
        if hidden:
            others.append((str(file), "is hidden"))
        elif made and made in real_path(file).parents:
            others.append((str(file), "is in the folder of the outputs"))
        elif file.suffix.lower() not in images.SUFFIXES:
            others.append((str(file), "is not a picture by its name"))
        else:
            inputs.append(file)
    if not inputs:
        raise GanzooError(f"{what} ({', '.join(images.SUFFIXES)}).")
    return inputs, others


def plan_outputs(inputs: list[Path], out: Path) -> dict[Path, Path] | Path:
    """Where each input's picture goes: input -> output file, or one path where several share a grid.

    `out` that ends in .png is one file (one input: its picture; several: a grid); anything else is a folder with one
    PNG per input, named after it (with its suffix where two inputs differ in nothing else), in sub-folders as they are.
    Raises:
      GanzooError: `out` has another picture's suffix, or an input would be overwritten.
    """
    single = out.suffix.lower() == ".png" and not out.is_dir()
    if not single and out.suffix.lower() in images.SUFFIXES and not out.is_dir():
        raise GanzooError(
            f'Pictures are written as PNG; name the output "{out.with_suffix(".png")}" instead of "{out}".'
        )
    if single:
        plan: dict[Path, Path] | Path = {inputs[0]: out} if len(inputs) == 1 else out
    else:
        root = Path(os.path.commonpath([p.parent for p in inputs]))
        stems = Counter(p.with_suffix("") for p in inputs)
        plan = {
            p: out / p.relative_to(root).with_name(f"{p.stem if stems[p.with_suffix('')] == 1 else p.name}.png")
            for p in inputs
        }
        clash = [target for target, count in Counter(plan.values()).items() if count > 1]
        if clash:
            raise GanzooError(
                f'Several inputs would be written as "{clash[0]}"; rename one, or translate them one by one.'
            )
    for target in plan.values() if isinstance(plan, dict) else [plan]:
        if target.exists() and any(os.path.samefile(target, p) for p in inputs if p.exists()):
            raise GanzooError(f'"{target}" is an input and would be overwritten; choose another output.')
    return plan


def translate(
    model: Any,
    picture: np.ndarray,
    seed: int = 0,
    direction: str | None = None,
    hole: np.ndarray | None = None,
) -> np.ndarray:
    """One uint8 picture (h, w, c) through an image model: uint8 (h, w, C). The result does not depend on other pictures.

    `direction`: "a2b" or "b2a" for a model that translates both ways; None for its first one. `hole`: bool (h, w), what a
    model that fills holes is to fill; None for its own.
    """
    if model.reads_pictures:
        return model.pictures(model.generate(images=picture[None]))[0]
    way: dict[str, Any] = {} if direction is None else {"direction": direction}
    way |= {} if hole is None else {"mask": hole[None]}
    return model.generate(images.to_channels(picture, input_channels(model, direction))[None], seed=seed, **way)[0]


def hole_in(picture: np.ndarray, box: tuple[int, int, int, int] | None, mask: np.ndarray | None) -> np.ndarray | None:
    """bool (h, w), the hole of a picture: a box (x, y, width, height), or where a mask (h, w, 1) is above 127; or None.

    Raises:
        GanzooError: a box that does not lie in the picture, or a mask of another size.
    """
    height, width = picture.shape[:2]
    if mask is not None:
        if mask.shape[:2] != (height, width):
            raise GanzooError(
                f"The mask has {mask.shape[1]} x {mask.shape[0]} pixels, the picture {width} x {height}: a mask is as large as "
                "its picture, white where it is to be filled."
            )
        return mask[..., 0] > 127
    if box is None:
        return None
    x, y, w, h = box
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
        raise GanzooError(
            f"--box {x},{y},{w},{h} does not lie in the picture of {width} x {height} pixels: it is x,y,width,height, counted "
            "from the upper left corner."
        )
    hole = np.zeros((height, width), bool)
    hole[y : y + h, x : x + w] = True
    return hole


def input_channels(model: Any, direction: str | None = None) -> int:
    """How many channels an image model's input has."""
    columns = list(model.batch_signature().values())
    return int(columns[direction == "b2a"].shape[-1])


def require_direction(model: Any, direction: str | None) -> None:
    """Raises GanzooError unless `direction` is None, or one of those that `model` translates in."""
    if direction is None or direction in model.directions:
        return
    if not model.directions:
        raise GanzooError(f"{model.full_name} has one direction only and takes no --direction; leave it out.")
    raise GanzooError(f'There is no direction "{direction}".{nearest(direction, model.directions)}')


def require_filling(model: Any) -> None:
    """Raises GanzooError unless the model fills holes of pictures."""
    if not model.fills:
        raise GanzooError(f"{model.full_name} fills no holes and takes neither --box nor --mask; leave it out.")


def require_ages(model: Any) -> None:
    """Raises GanzooError unless the model shows faces at other ages."""
    if not model.changes_age:
        raise GanzooError(
            f"{model.full_name} changes no ages and takes neither --ages nor --start-age nor --optimise; leave it out."
        )


def write_ages(
    model: Any,
    inputs: list[Path],
    out: Path,
    wanted: list[str] | None = None,
    start_age: str | None = None,
    optimise: str = "identity",
) -> Written:
    """A row a face, one PNG for all or one for each as `plan_outputs` says: the face as the model sees it, its reconstruction
    at its own age, and the face at each of the ages, or at all of the model's classes.

    Inputs that cannot be read are treated as by `translate_files`. `start_age` is that of all inputs; None asks the model's
    reader. `optimise`: "identity", "pixels" or "none".

    Raises:
        GanzooError: no input is readable, no such age, or one of `plan_outputs`.
    """
    require_ages(model)
    plan = plan_outputs(inputs, out)
    wanted = list(wanted or model.class_names)
    text = png_text(model, 0, ages=",".join(wanted), optimise=optimise)
    text |= {} if start_age is None else {"start_age": start_age}
    rows, files, remarks = [], [], []
    skipped: list[tuple[str, str]] = []
    for source, picture in _readable(inputs, skipped):
        picture = images.at_most(picture, LARGEST)
        remarks += _unlike(model, picture, source)
        row, said = _at_ages(model, picture, wanted, start_age, optimise)
        remarks += [f"{shown(str(source))}: {one}" for one in said]
        if isinstance(plan, dict):
            images.write_png(plan[source], images.grid(row, len(row)), text | replay.input_facts(source))
            files.append(plan[source])
        else:
            rows.append(row)
    if rows:
        images.write_png(out, images.grid(np.concatenate(rows), len(rows[0])), text)
        files.append(out)
    return Written(files, skipped, remarks)


def _readable(inputs: list[Path], skipped: list[tuple[str, str]]) -> Iterator[tuple[Path, np.ndarray]]:
    """Each input and its picture; those that cannot be read are added to `skipped` with the reason.

    Raises:
        GanzooError: the only input cannot be read, or none of several.
    """
    for source in inputs:
        try:
            picture = images.read_image(source)
        except images.ImageError as error:
            if len(inputs) == 1:
                raise
            skipped.append((str(source), str(error)))
            continue
        yield source, picture
    if len(skipped) == len(inputs):
        raise GanzooError(f"None of the {len(inputs)} inputs can be read; the first: {skipped[0][1]}")


def _at_ages(model: Any, picture: np.ndarray, wanted: list[str], start_age, optimise: str):
    """(uint8 (2 + K, H, W, C): the face, its reconstruction, and it at K ages; remarks)."""
    how = {"identity": True, "pixels": "pixels", "none": False}[optimise]
    said = []
    if picture.shape[0] != picture.shape[1]:
        side = min(picture.shape[:2])
        said.append(f"of {picture.shape[1]}x{picture.shape[0]} px, the square of {side} px in its middle was taken.")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", UserWarning)
        row, own = model.strip(images.to_channels(picture, input_channels(model))[None], wanted, start_age, how)
    said += (
        [f"its own age was read as {model.class_names[int(own[0])]}; --start-age says another."]
        if start_age is None
        else []
    )
    return row, said + [str(one.message) for one in heard if issubclass(one.category, UserWarning)]


def translate_files(
    model: Any,
    inputs: list[Path],
    out: Path,
    seed: int = 0,
    direction: str | None = None,
    box: tuple[int, int, int, int] | None = None,
    mask: Path | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> Written:
    """Every picture of `inputs` through an image model, written as `plan_outputs` says.

    Of a model that fills holes, `box` (x, y, width, height) or the picture `mask`, white in the hole, says where. Of a model with
    `crops`, `crop` says what of each picture is read.

    A single unreadable input is refused; among several it is left out and named in the result. One of more than LARGEST
    pixels is made smaller, and remarked on, as is one much larger than the pictures that the model was trained on.
    Raises:
      GanzooError: no input is readable, the model has no such direction, or one of `plan_outputs`.
    """
    require_task(model, "image")
    require_direction(model, direction)
    if box is not None or mask is not None:
        require_filling(model)
    if crop is not None and not model.crops:
        raise GanzooError(f"{model.full_name} takes pictures whole and no --crop; leave it out.")
    plan = plan_outputs(inputs, out) if mask is None else _beside(inputs, mask, out)
    holes = None if mask is None else images.read_image(mask, 1)
    text, files, cells, remarks = png_text(model, seed), [], [], []
    skipped: list[tuple[str, str]] = []
    if direction:
        text["direction"] = direction
    if box is not None:
        text["box"] = ",".join(map(str, box))
    if crop is not None:
        text["crop"] = ",".join(map(str, crop))
    if mask is not None:
        text |= {key.replace("input", "mask"): value for key, value in replay.input_facts(mask).items()}
    for source, picture in _readable(inputs, skipped):
        if model.fills:
            remarks += _unlike(model, picture, source)
        elif model.crops:
            picture = images.at_most(cropped(picture[None], crop)[0], LARGEST)
            remarks += _squared(model, picture, source)
        else:
            picture, remark = _sized(model, picture, source)
            remarks += [remark] if remark else []
        made = translate(model, picture, seed, direction, hole_in(picture, box, holes))
        if isinstance(plan, dict):
            images.write_png(plan[source], made, text | replay.input_facts(source))
            files.append(plan[source])
        else:
            cells.append(made)
    if cells:
        images.write_png(out, contact_sheet(cells), text)
        files.append(out)
    return Written(files, skipped, remarks)


def _beside(inputs: list[Path], mask: Path, out: Path) -> dict[Path, Path] | Path:
    """`plan_outputs`, which does not write over the mask either."""
    plan = plan_outputs(inputs, out)
    for target in plan.values() if isinstance(plan, dict) else [plan]:
        if target.exists() and mask.exists() and os.path.samefile(target, mask):
            raise GanzooError(f'"{target}" is the mask and would be overwritten; choose another output.')
    return plan


def _unlike(model: Any, picture: np.ndarray, source: Path) -> list[str]:
    """Remarks on a picture whose pixels do not stay what they were in its file: gray, or transparent."""
    said, channels = [], input_channels(model)
    if picture.shape[-1] != channels:
        said.append(f"{shown(str(source))} is {'gray' if channels == 3 else 'in colour'}; the result is not.")
    found = images.image_size(images.read_file(source))
    if found and (found[2] in ("RGBA", "LA", "PA") or found[2].endswith("a")):
        said.append(f"{shown(str(source))} has transparency, which is put on white; the result has none.")
    return said


def _squared(model: Any, picture: np.ndarray, source: Path) -> list[str]:
    """Remarks on a picture of which a model reads a square: what is left out, and whether it is small."""
    (height, width), size = picture.shape[:2], model.image_size
    said = _unlike(model, picture, source)
    if max(height, width) > 1.25 * min(height, width):
        where = "in the middle" if width > height else "with a quarter of what is left above it"
        said.append(
            f"Of {shown(str(source))}, {width}x{height} px, the square {where} is read; --crop x,y,width,height says another one."
        )
    if min(height, width) < size // 2:
        said.append(
            f"{shown(str(source))} of {width}x{height} px is small for {model.full_name}, which reads {size}x{size} px."
        )
    return said


def _sized(model: Any, picture: np.ndarray, source: Path) -> tuple[np.ndarray, str]:
    """An input that fits in memory, and a remark if it is not what the model was made for. (A model that only reads
    pictures, and makes shapes of them, brings all of them to one size.)"""
    if model.reads_pictures or model.run_config is None:
        return images.at_most(picture, LARGEST), ""
    trained, (height, width) = model.run_config.data.size, picture.shape[:2]
    words = presets.expects(model.run_config) or f"pictures of about {trained} px"
    if height * width > LARGEST:
        picture = images.at_most(picture, LARGEST)
        done = f"was made smaller, to {picture.shape[1]}x{picture.shape[0]} px, to fit in memory"
    elif max(height, width) > MUCH_LARGER * trained:
        done = "was translated as it is"
    else:
        return picture, ""
    return picture, f"{shown(str(source))} of {width}x{height} px {done}; {model.full_name} expects {words}."


def contact_sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of any sizes in one grid: equal ones as they are, others padded to the largest (at most GRID_CELL)."""
    if len({p.shape for p in pictures}) > 1:
        cell = min(GRID_CELL, max(max(p.shape[:2]) for p in pictures))
        channels = max(p.shape[-1] for p in pictures)
        pictures = [images.fit_image(images.to_channels(p, channels), cell, "pad") for p in pictures]
    return images.grid(pictures)


def translations(model: BaseGAN, inputs: dict, seed: int) -> list[np.ndarray]:
    """What shows an image model at work, uint8 (n, H, W, C) each.

    Of one direction: input, output, target. Of two: a, a to b, back to a, b, b to a, back to b. Of a model that fills
    holes: with the hole in white, filled, as it is. Of faces: as they are, made again, and at each age class; without SciPy,
    by the encoder alone.
    """
    if model.fills:
        whole = inputs["image"]
        masks = (
            inputs["mask"][..., 0] > 127
            if "mask" in inputs
            else np.stack([model.default_mask(*whole.shape[1:3])] * len(whole))
        )
        return [np.where(masks[..., None], np.uint8(255), whole), model.generate(whole, mask=masks), whole]
    if model.changes_age:
        made, _ = model.strip(inputs["image"], model.class_names, optimise=faces.can_search())
        return list(np.moveaxis(made.reshape(len(inputs["image"]), -1, *made.shape[1:]), 1, 0))
    first, second, *_ = inputs.values()
    if not model.directions:
        return [first, model.generate(first, seed=seed), second]
    columns, (a2b, b2a) = [], model.directions
    for given, there, back in ((first, a2b, b2a), (second, b2a, a2b)):
        made = model.generate(given, direction=there)
        columns += [given, made, model.generate(made, direction=back)]
    return columns
