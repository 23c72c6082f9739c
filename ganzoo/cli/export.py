"""`ganzoo export` and `ganzoo import`: models out to other programs, and in from others' checkpoints."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from ganzoo import files
from ganzoo.cli.output import report, writable_folder
from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import GanzooError, say

Out = Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of random weights, where some are drawn.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model, a preset or a folder that training saved.")],
    out: Out,
    to: Annotated[str, typer.Option("--to", metavar="FORMATS", help="Formats, with commas between.")] = "savedmodel",
    allow_random: Annotated[
        bool, typer.Option("--allow-random", help="Export untrained weights where there are no others.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write a SavedModel that a process with only TensorFlow loads, OUT/1, and other formats besides it.

    Formats: savedmodel; onnx, onnx-float16, onnx-int8; litert, litert-float16, litert-int8. Every one is asked golden inputs;
    OUT/parity.json says how far its answers are from Keras', and over the tolerance nothing is written.

    `--to web` writes OUT/web, a page that runs the model in the browser: python -m http.server -d OUT/web shows it.
    """
    writable_folder(out)
    load_tensorflow(seed)
    from ganzoo import exporting
    from ganzoo.exporting import manifest

    formats = [part.strip() for part in to.split(",") if part.strip()]
    path = exporting.export(name, out, formats=formats, allow_random=allow_random)
    about, certificate = manifest.read(path) or {}, files.read_json(out / exporting.PARITY)
    value = {"model": about["model"], "weights": about["weights_source"], "savedmodel": str(path)}
    if "savedmodel" not in formats:
        del value["savedmodel"]
    value["formats"] = {name: str(out / exporting.FORMATS[name].folder) for name in formats}
    value["parity"] = {
        name: max(facts["max_error"] for outputs in part["endpoints"].values() for facts in outputs.values())
        for name, part in certificate["formats"].items()
        if name in formats
    }
    parts = certificate["formats"]
    pictures = {name: parts[name]["serving_default"] for name in formats if "serving_default" in parts[name]}
    if pictures:
        value["serving_default"] = pictures
    weights = f"{value['model']}, weights {value['weights']}"
    lines = [
        f"{value['formats'][name]} ({weights}; at most {worst:.4%} from Keras{_pictures(pictures.get(name))})"
        for name, worst in value["parity"].items()
    ]
    if "web" in formats and not as_json:
        say(f"To open the page: python -m http.server -d {value['formats']['web']}")
    report(value, "\n".join(lines), as_json=as_json)


def _pictures(found: dict | None) -> str:
    """What the certificate says of the pictures of `serving_default`."""
    if found is None:
        return ""
    if found["equal"]:
        return f"; its pictures have the SavedModel's bytes, in {found['rows']} rows"
    return f"; {found['differing']:.2g} of its pictures' values differ, by at most {found['steps']} of 255"


def import_checkpoint(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help='Whose network it is, such as "pix2pix".')],
    checkpoint: Annotated[
        Path, typer.Argument(help="The generator's .pth, .pt, .ckpt, .tar, .bin, .safetensors or .npz file.")
    ],
    out: Out,
    discriminator: Annotated[Path | None, typer.Option(help="The discriminator's file, to train on from both.")] = None,
    key: Annotated[str | None, typer.Option(help="Which of several states in the file is the generator's.")] = None,
    discriminator_key: Annotated[str | None, typer.Option(help="The same for the discriminator's.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Turn someone's checkpoint into a folder that `ganzoo sample`, `finetune` and `export` take as NAME.

    The weights may lie in a training script's dictionary ("netG", "state_dict", ...), under prefixes such as "module." and
    under other layer names than the official code's, which are then matched by order and shape. See docs/importing.md.

    CycleGAN's four networks come together: name latest_net_G_A.pth, and G_B, D_A, D_B are found next to it.

    Nothing in the file is executed: a pickle that asks for more than weights and plain values is refused.
    """
    if out.is_dir() and any(out.iterdir()):
        raise GanzooError(f'The folder "{out}" is not empty; choose another one.')
    writable_folder(out)
    load_tensorflow(seed)
    from ganzoo import importers

    with warnings.catch_warnings(action="ignore", category=importers.MatchedByOrder):  # said below
        path = importers.import_checkpoint(
            paper, checkpoint, out, discriminator=discriminator, key=key, discriminator_key=discriminator_key
        )
    manifest = files.read_json(path / "manifest.json")
    for network, origin in manifest["imported"].items():
        if "key" in origin:
            say(f'{network}: from "{origin["key"]}" in {origin["file"]}.')
        if "matched_by_order" in origin:
            say(f"Note: {importers.said(network, origin['matched_by_order'])}")
    if manifest["untrained"]:
        say(f"In no file, so with random weights: {', '.join(manifest['untrained'])}.")
    value = {"model": str(path), "paper": paper, "discriminator": discriminator is not None}
    report(value | {key: manifest[key] for key in ("imported", "untrained")}, str(path), as_json=as_json)
