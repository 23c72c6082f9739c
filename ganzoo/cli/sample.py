"""`ganzoo sample`: pictures from noise, or from other pictures."""

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.output import report, say, writable_file, writable_folder
from ganzoo.cli.quiet import load_tensorflow
from ganzoo.errors import GanzooError

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


def sample(
    name: Name,
    out: Annotated[Path, typer.Option("-o", "--out", help="The PNG to write, or a folder for many.")],
    n: Annotated[
        int | None, typer.Option("-n", min=1, max=100_000, help="How many samples: 64, or 4 of each --text.")
    ] = None,
    seed: Seed = 0,
    text: Annotated[
        list[str] | None, typer.Option(help="For text models: a sentence that says what to draw; may be repeated.")
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="For image models: a picture, a folder or a glob; any size.")
    ] = None,
    direction: Annotated[
        str | None, typer.Option(help='For models of two domains: "a2b" (as without it) or "b2a".')
    ] = None,
    columns: Annotated[int | None, typer.Option(min=1, help="Columns of the grid; about square by default.")] = None,
    separate: Annotated[bool, typer.Option("--separate", help="One PNG per sample in the folder --out.")] = False,
    weights: Annotated[str, typer.Option(help='"default", "random" or a .safetensors file.')] = "default",
    as_json: Json = False,
) -> None:
    """Write pictures: a grid of samples, what a sentence says, or the translation of input pictures.

    One input gives its translation at the input's own size; several give one PNG each in the folder --out, or a grid if --out
    ends in .png. Each PNG says in its text chunks which model, weights and seed made it.
    """
    from ganzoo import sampling

    if text and input is not None:
        raise GanzooError("Give either --text or --input: no model takes both.")
    n = n or (4 if text else 64)
    inputs = sampling.find_inputs(input) if input is not None else []
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

    load_tensorflow(seed)
    import ganzoo

    model = ganzoo.load(name, weights=weights_choice(weights))
    sampling.require_task(model, "text" if text else "image" if inputs else "latent")
    sampling.require_direction(model, direction)
    if inputs:
        written = sampling.translate_files(model, inputs, out, seed, direction)
    elif text:
        written = sampling.write_texts(model, out, text, n, seed, columns, separate)
    elif separate:
        written = sampling.write_separate(model, out, n, seed)
    else:
        written = sampling.write_grid(model, out, n, seed, columns)
    for _, reason in written.skipped:
        say(f"Note: {reason}" if text else f"Left out: {reason}")
    files = [str(f) for f in written.files]
    value = {**sampling.png_text(model, seed), "seed": seed, "files": files, "skipped": written.skipped}
    value |= {"direction": direction} if direction else {}
    value |= {"text": text} if text else {}
    where = files[0] if len(files) == 1 else f"{len(files)} pictures in {out}"
    report(value, f"{where} ({value['model']}, weights {value['weights']}, seed {seed})", as_json=as_json)
