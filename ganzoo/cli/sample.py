"""`ganzoo sample`: pictures from noise, or from other pictures."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo.cli.output import report, writable_file, writable_folder
from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import GanzooError, nearest, say
from ganzoo.replay import recorded

SEARCHES = ("identity", "pixels", "none")  # of models of ages
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help='A model ("dcgan"), a preset ("dcgan/fashion-32") or a folder that training saved.'
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn; the same seed gives the same bytes.", min=0)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def weights_choice(weights: str) -> str | None:
    """The value of --weights as `ganzoo.load` takes it: "random" becomes None."""
    return None if weights == "random" else weights


@recorded("sample")
def sample(
    name: Name,
    out: Annotated[Path, typer.Option("-o", "--out", help="The PNG to write, or a folder for many.")],
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=1,
            max=100_000,
            help="How many samples: 64, or 4 of each --text, 8 of each --label and --attributes.",
        ),
    ] = None,
    seed: Seed = 0,
    text: Annotated[
        list[str] | None, typer.Option(help="For text models: a sentence that says what to draw; may be repeated.")
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(help="For image models: a picture, a folder with its sub-folders, or a glob; any size."),
    ] = None,
    direction: Annotated[
        str | None, typer.Option(help='For models of two domains: "a2b" (as without it) or "b2a".')
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="For models that fill holes: the box to fill; in the middle by default."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="For models that fill holes: a picture as large as the input, white in the hole."),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H", help="For models that read a square of a picture, such as dtn: where the face is."
        ),
    ] = None,
    ages: Annotated[
        str | None,
        typer.Option(help='For models of ages: years or classes, as "10,30,60" or "0-18,60+"; all classes by default.'),
    ] = None,
    start_age: Annotated[
        str | None, typer.Option(help="For models of ages: the own age of the faces; read off them by default.")
    ] = None,
    optimise: Annotated[
        str | None,
        typer.Option(help='For models of ages: what the search keeps, "identity" (as without it), "pixels" or "none".'),
    ] = None,
    columns: Annotated[int | None, typer.Option(min=1, help="Columns of the grid; about square by default.")] = None,
    separate: Annotated[bool, typer.Option("--separate", help="One PNG per sample in the folder --out.")] = False,
    psi: Annotated[
        float | None, typer.Option(help="Truncation psi of a model with styles, 1 for none; 0.7 by default.")
    ] = None,
    cutoff: Annotated[
        int | None, typer.Option(min=0, help="Truncate the styles of the first so many layers only.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Of models with classes: what to draw, by name or number; may be repeated, a row each. All in turn by default."
        ),
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            help='Of models with attributes: what is asked for, as "hair=pink,glasses" or JSON; may be repeated, a row each.'
        ),
    ] = None,
    truncation: Annotated[
        float | None,
        typer.Option(
            help="Of models with classes: variety for quality, more than 0 and below 1; 1 is none (the default)."
        ),
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Noise beyond --truncation is drawn anew, as in BigGAN's paper.")
    ] = False,
    gif: Annotated[
        Path | None, typer.Option(help="Of models of shapes: also a turntable, a .gif or .mp4 file.")
    ] = None,
    mesh: Annotated[
        Path | None, typer.Option(help="Of models of shapes: also the surfaces, a .glb, .obj or .stl file.")
    ] = None,
    weights: Annotated[str, typer.Option(help='"default", "random" or a .safetensors file.')] = "default",
    as_json: Json = False,
) -> None:
    """Write pictures: a grid of samples, what a sentence says, or the translation of input pictures.

    One input gives its translation at the input's own size (of a model of ages a row: the face, as it is made again, and at
    each age); several give one PNG each in the folder --out, or a grid if --out
    ends in .png. Each PNG says in its text chunks which model, weights and seed made it. Shapes are shown as shaded pictures.
    """
    from ganzoo import sampling

    if text and input is not None:
        raise GanzooError("Give either --text or --input: no model takes both.")
    asked = [sampling.attributes_of(one) for one in attributes or ()]
    n = n or (4 if text else 8 if label or asked else 64)
    corners = _box(box, mask, input)
    part = _crop(crop, input)
    wanted = _ages(ages, start_age, optimise, input)
    inputs, others = sampling.find_inputs(input, out) if input is not None else ([], [])
    given: dict[str, Any] = {"truncation_psi": psi, "cutoff": cutoff, "label": label or None, "truncation": truncation}
    given |= {"resample": True} if resample else {}
    given |= {"attributes": asked if len(asked) > 1 else asked[0]} if asked else {}
    given = {name: value for name, value in given.items() if value is not None}
    if inputs:
        plan = sampling.plan_outputs(inputs, out)
        many = isinstance(plan, dict) and out not in plan.values()
    else:
        many = separate
    if many:
        writable_folder(out)
    elif out.suffix.lower() != ".png":
        raise GanzooError(
            f'The grid is one PNG; "{out}" must end in .png (or add --separate for a folder of pictures).'
        )
    else:
        writable_file(out)

    _shape_outputs(gif, mesh)
    load_tensorflow(seed)
    import ganzoo

    model = ganzoo.load(name, weights=weights_choice(weights))
    sampling.require_task(model, "text" if text else "image" if inputs else "latent")
    sampling.require_direction(model, direction)
    sampling.require_options(model, given)
    if label:
        found = sampling.read_labels(model, label)
        given["label"] = found if len(found) > 1 else found[0]
    shapes = sampling.shapes_of(model, n, seed, inputs) if gif or mesh else None
    if any(value is not None for value in (ages, start_age, optimise)):
        sampling.require_ages(model)
    if inputs and model.changes_age:
        written = sampling.write_ages(model, inputs, out, wanted, start_age, optimise or "identity")
    elif inputs:
        written = sampling.translate_files(model, inputs, out, seed, direction, corners, mask, part)
    elif text:
        written = sampling.write_texts(model, out, text, n, seed, columns, separate)
    elif separate:
        written = sampling.write_separate(model, out, n, seed, **given)
    else:
        written = sampling.write_grid(model, out, n, seed, columns, **given)
    if gif and shapes is not None:
        written.files.extend(sampling.write_turntable(model, gif, shapes, seed, columns).files)
    if mesh and shapes is not None:
        written.files.extend(sampling.write_mesh(model, mesh, shapes, seed).files)
    for file, reason in others:
        say(f"Left out: {file} {reason}.")
    for remark in written.remarks:
        say(f"Note: {remark}")
    for _, reason in written.skipped:
        say(f"Note: {reason}" if text else f"Left out: {reason}")
    files = [str(f) for f in written.files]
    value = {
        **sampling.facts(model, seed, **given),
        "seed": seed,
        **{sampling.name_of(k): v for k, v in given.items()},
        "files": files,
        "skipped": written.skipped,
        "no_pictures": others,
        "remarks": written.remarks,
    }
    value |= {"direction": direction} if direction else {}
    value |= {"text": text} if text else {}
    value |= {"box": list(corners)} if corners else {}
    value |= {"mask": str(mask)} if mask else {}
    value |= {"crop": list(part)} if part else {}
    value |= {name: said for name, said in (("ages", wanted), ("start_age", start_age), ("optimise", optimise)) if said}
    pictures = len(files) - bool(gif) - bool(mesh)
    where = files[0] if pictures == 1 else f"{pictures} pictures in {out}"
    where = ", ".join([where, *files[pictures:]])
    report(value, f"{where} ({value['model']}, weights {value['weights']}, seed {seed})", as_json=as_json)


def _box(box: str | None, mask: Path | None, input: str | None) -> tuple[int, int, int, int] | None:
    """The four numbers of --box. Refuses others, both of --box and --mask, and one of them without --input."""
    if box is None and mask is None:
        return None
    if box is not None and mask is not None:
        raise GanzooError("Give either --box or --mask: both say where the hole is.")
    if input is None:
        raise GanzooError("--box and --mask say what of a picture is filled: name it with --input.")
    return None if box is None else _corners(box, "--box")


def _crop(crop: str | None, input: str | None) -> tuple[int, int, int, int] | None:
    """The four numbers of --crop. Refuses others, and --crop without --input."""
    if crop is None:
        return None
    if input is None:
        raise GanzooError("--crop says what of a picture is read: name it with --input.")
    return _corners(crop, "--crop")


def _corners(text: str, option: str) -> tuple[int, int, int, int]:
    found = re.fullmatch(r"\s*(-?\d{1,9})\s*,\s*(-?\d{1,9})\s*,\s*(-?\d{1,9})\s*,\s*(-?\d{1,9})\s*", text)
    if not found:
        raise GanzooError(f'{option} is four whole numbers x,y,width,height, such as 120,80,60,40; received "{text}".')
    x, y, width, height = map(int, found.groups())
    return x, y, width, height


def _ages(ages: str | None, start_age: str | None, optimise: str | None, input: str | None) -> list[str] | None:
    """The ages of --ages. Refuses what is not an age, another --optimise, and any of the three without --input."""
    from ganzoo import ages as known

    if ages is None and start_age is None and optimise is None:
        return None
    if input is None:
        raise GanzooError(
            "--ages, --start-age and --optimise say what becomes of a face: name its picture with --input."
        )
    if start_age is not None:
        known.read_list(start_age, "--start-age")
        known.class_of(start_age)
    if optimise not in (None, *SEARCHES):
        raise GanzooError(f'There is no --optimise "{optimise}".{nearest(optimise, SEARCHES)}')
    return None if ages is None else known.read_list(ages, "--ages")


def _shape_outputs(gif: Path | None, mesh: Path | None) -> None:
    """Refuses names of a turntable and a mesh that could not be written, before the model is read."""
    from ganzoo.media import animation, shapes3d

    if gif is not None:
        if gif.suffix.lower() not in animation.ANIMATIONS:
            raise GanzooError(f'The turntable is a {" or ".join(animation.ANIMATIONS)} file; received "{gif}".')
        if gif.suffix.lower() == ".mp4":
            animation.require_video()
        writable_file(gif)
    if mesh is not None:
        shapes3d.check_mesh_name(mesh)
        writable_file(mesh)
