"""`ganzoo explore`: paths through a model's latent space, as a sheet (PNG) or an animation (GIF, MP4)."""

import itertools
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo.cli.explore_job import FRAME, SHEET, Job, asked_for, numbers, options, whole_numbers
from ganzoo.cli.output import writable_file
from ganzoo.cli.sample import Json, Name
from ganzoo.errors import GanzooError
from ganzoo.replay import input_facts, recorded

app = typer.Typer(help="Interpolate, truncate, mix, walk, project: pictures along paths through a latent space.")

Out = Annotated[Path, typer.Option("-o", "--out", help="The file to write: a .png sheet, or a .gif or .mp4 animation.")]
Seed = Annotated[
    int, typer.Option(help="Seed whose samples are taken where no points are named.", min=0, max=2**63 - 1)
]
Seeds = Annotated[
    str | None,
    typer.Option(
        help="Points: 3 (a seed), 0:5 (sample 5 of seed 0), 0:5-8 or 3-6 (several), face.json (a projection)."
    ),
]
Weights = Annotated[str, typer.Option(help='"default", "random" or a .safetensors file.')]
Scale = Annotated[int | None, typer.Option(min=1, max=32, help="Enlarge every pixel so many times.")]
Fps = Annotated[int, typer.Option(min=1, max=50, help="Pictures a second of an animation.")]
Psi = Annotated[float | None, typer.Option(help="Truncation psi of a model with styles; 0.7 by default.")]
Cutoff = Annotated[int | None, typer.Option(min=0, help="Truncate the styles of the first so many layers only.")]
Label = Annotated[str | None, typer.Option(help="Class of a model with classes, by name or number.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="Of models with classes: for all points; or repeated, one for each, or several for one point."
    ),
]
Asked = Annotated[
    str | None, typer.Option(help='Of models with attributes: what every picture is asked for, as "hair=pink,glasses".')
]


@app.callback()
def explore() -> None:
    """Pictures along paths through the latent space of a model that starts from noise."""


@app.command("interpolate")
@recorded("explore interpolate")
def interpolate(
    name: Name,
    out: Out,
    seeds: Seeds = None,
    seed: Seed = 0,
    steps: Annotated[
        int | None, typer.Option(min=2, max=500, help="Pictures from a point to the next; 8 on a sheet, else 24.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Lead from the last point back to the first.")] = False,
    space: Annotated[str | None, typer.Option(help='"z" (an arc) or, of models with styles, "w" (a line).')] = None,
    psi: Psi = None,
    cutoff: Cutoff = None,
    label: Labels = None,
    attributes: Asked = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Of models that read text: sentences to go between; repeat it.")
    ] = None,
    scale: Scale = None,
    fps: Fps = 20,
    weights: Weights = "default",
    as_json: Json = False,
) -> None:
    """Go from sample to sample, or from sentence to sentence: one row each pair, or one film of all."""
    job = Job("interpolate", name, out, seed, weights, scale, fps)
    points = job.points(seeds, 1 if label and len(label) > 1 else 4)
    job.load()
    from ganzoo.explore import paths
    from ganzoo.media import animation

    steps = steps or (24 if job.animated else 8)
    if text:
        _between_sentences(job, [*text, *text[:1]] if loop else text, steps, loop)
        job.report(as_json)
        return
    style = job.style(psi, cutoff, label, attributes)
    table = paths.interpolate(job.model, points, steps=steps, loop=loop, space=space, **style)
    job.note(points=points, steps=steps, loop=loop, space=space, **style)
    table = job.enlarge(table, FRAME if job.animated else SHEET)
    if job.animated:
        frames = table[:, :-1].reshape(-1, *table.shape[2:])  # each row begins where the last one ended
        job.write_film(frames if loop else animation.there_and_back([*frames, table[-1, -1]]))
    else:
        ends = [point.name for point in points] * (len(table) + (not loop) if len(points) == 1 else 1)
        if label and len(label) > 1:
            ends = [f"{end} {one}" for end, one in zip(ends, label, strict=True)]
        ends += ends[:1]
        job.write_sheet(table, rows=[f"{a} - {b}" for a, b in itertools.pairwise(ends)])
    job.report(as_json)


@app.command("arithmetic")
@recorded("explore arithmetic")
def arithmetic(
    name: Name,
    out: Out,
    seeds: Seeds = None,
    seed: Seed = 0,
    space: Annotated[str | None, typer.Option(help='"z" or, of models with styles, "w".')] = None,
    psi: Psi = None,
    cutoff: Cutoff = None,
    label: Label = None,
    attributes: Asked = None,
    scale: Scale = None,
    fps: Fps = 1,
    weights: Weights = "default",
    as_json: Json = False,
) -> None:
    """Calculate with samples: of each three points a, b, c show a - b + c, which gives c what tells a from b."""
    job = Job("arithmetic", name, out, seed, weights, scale, fps)
    points = job.points(seeds, 3)
    job.load()
    from ganzoo.explore import paths

    style = job.style(psi, cutoff, label, attributes)
    table = paths.arithmetic(job.model, points, space=space, **style)
    job.note(points=points, space=space, **style)
    rows = [f"{a.name} - {b.name} + {c.name}" for a, b, c in zip(*[iter(points)] * 3, strict=True)]
    job.write_sweep(table, rows=rows, columns=["a", "b", "c", "a - b + c"])
    job.report(as_json)


def _between_sentences(job: Job, texts: list[str], steps: int, loop: bool) -> None:
    from ganzoo.explore import sentences
    from ganzoo.media import animation

    table = sentences.between(job.model, texts, steps=steps, seed=job.seed)
    job.note(text=texts, steps=steps)
    table = job.enlarge(table, FRAME if job.animated else SHEET)
    if job.animated:
        frames = table[:, :-1].reshape(-1, *table.shape[2:])
        job.write_film(frames if loop else animation.there_and_back([*frames, table[-1, -1]]))
    else:
        job.write_sheet(table, rows=[f"{a:.40} - {b:.40}" for a, b in itertools.pairwise(texts)])


@app.command("truncate")
@recorded("explore truncate")
def truncate(
    name: Name,
    out: Out,
    seeds: Seeds = None,
    seed: Seed = 0,
    psi: Annotated[
        str | None, typer.Option(help="Truncation psis, as 1,0.7,0; default 1 to -1. Of an animation first and last.")
    ] = None,
    truncation: Annotated[
        str | None,
        typer.Option(help="Of models with classes: truncations of the noise, as 1,0.6,0.2; default 1 to 0.2."),
    ] = None,
    resample: Annotated[bool, typer.Option("--resample", help="Noise beyond the truncation is drawn anew.")] = False,
    cutoff: Cutoff = None,
    label: Labels = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            help="Of models with classes: also measure FID and Inception Score at each, and write this .html."
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("-n", min=2, max=100_000, help="Samples that --curve measures at each truncation.")
    ] = 5_000,
    scale: Scale = None,
    fps: Fps = 20,
    weights: Weights = "default",
    as_json: Json = False,
) -> None:
    """Move samples towards the average of all styles and past it (StyleGAN, figure 8), or cut the noise (BigGAN, figure 2)."""
    job = Job("truncate", name, out, seed, weights, scale, fps)
    points = job.points(seeds, 4)
    psis = numbers("--psi", psi or "1,0.7,0.5,0,-0.5,-1")
    truncations = numbers("--truncation", truncation or "1,0.8,0.6,0.4,0.2")
    if curve is not None and curve.suffix.lower() != ".html":
        raise GanzooError(f'The curve is an .html file; received "{curve}".')
    if curve is not None:
        writable_file(curve)
    if job.animated:
        psis, truncations = ([v[0] + (v[-1] - v[0]) * i / 40 for i in range(41)] for v in (psis, truncations))
    job.load()
    from ganzoo.explore import paths

    if job.model.truncates_noise:
        if psi is not None or cutoff is not None:
            raise GanzooError(
                f"{job.model.full_name} truncates its noise: give --truncation instead of --psi and --cutoff."
            )
        chosen = job.labels(label)
        table = paths.truncate_noise(job.model, points, truncations=truncations, label=chosen, resample=resample)
        job.note(points=points, truncation=truncations, resample=resample or None, **options(label=label))
        job.write_sweep(table, rows=[point.name for point in points], columns=[f"{value:g}" for value in truncations])
        measured = {}
        if curve is not None:
            measured["curve"] = _write_curve(job, curve, truncations, n, resample)
        job.report(as_json, **measured)
        return
    if truncation is not None or curve is not None or resample:
        raise GanzooError(
            f"{job.model.full_name} does not truncate its noise: --truncation, --resample and --curve are for biggan."
        )
    chosen = job.labels(label)
    table = paths.truncate(job.model, points, psis=psis, cutoff=cutoff, label=chosen)
    job.note(points=points, psi=psis, **options(cutoff=cutoff, label=label))
    job.write_sweep(table, rows=[point.name for point in points], columns=[f"psi {value:g}" for value in psis])
    job.report(as_json)


def _write_curve(job: Job, path: Path, truncations: list[float], n: int, resample: bool) -> list[dict]:
    """Measures each truncation, and writes the two scores over it and against each other."""
    from ganzoo import files
    from ganzoo.evaluation import truncation
    from ganzoo.report import pages

    reader = truncation.default_extractor(job.model)
    found = truncation.curve(job.model, truncations, n=n, seed=job.seed, extractor=reader, resample=resample)
    rising = sorted(found, key=lambda row: row["truncation"])
    cut = [row["truncation"] for row in rising]
    charts = [
        pages.line_chart([pages.Line(what, cut, [row[key] for row in rising], 0)], title=what, x_label="truncation")
        for key, what in (("fid", "FID"), ("is", "Inception Score"))
    ]
    by_score = sorted(found, key=lambda row: row["is"])
    against = pages.Line("FID", [row["is"] for row in by_score], [row["fid"] for row in by_score], 1)
    charts.append(pages.line_chart([against], title="FID against Inception Score", x_label="Inception Score"))
    rows = [(row["truncation"], row["fid"], row["is"]) for row in found]
    page = pages.page(
        f"Truncation of {job.model.full_name}",
        pages.paragraph(
            f"{n:,} samples at each truncation, by {reader}, against the test split; weights {job.model.weights_source}, seed "
            f"{job.seed}. Less truncated noise has more variety (FID falls), more truncated noise clearer pictures (the score "
            "rises): Brock et al. 2018, figure 16."
        ),
        *charts,
        pages.table(("truncation", "FID", "Inception Score"), rows),
    )
    files.write_bytes(path, page.encode())
    job.files.append(path)
    return found


@app.command("mix")
@recorded("explore mix")
def mix(
    name: Name,
    out: Out,
    rows: Annotated[str | None, typer.Option(help="Source A, at the left: all styles but those of --layers.")] = None,
    columns: Annotated[str | None, typer.Option(help="Source B, above: the styles of --layers.")] = None,
    seed: Seed = 0,
    layers: Annotated[
        str, typer.Option(help="Groups of layers: coarse, middle, fine, all, or numbers as 0-3,4,5-9.")
    ] = "coarse,middle,fine",
    psi: Psi = None,
    cutoff: Cutoff = None,
    label: Label = None,
    scale: Scale = None,
    fps: Fps = 4,
    weights: Weights = "default",
    as_json: Json = False,
) -> None:
    """Mix the styles of two sets of samples (StyleGAN, figure 3). An animation hands layer after layer from A to B."""
    job = Job("mix", name, out, seed, weights, scale, fps)
    a, b = job.points(rows, 2), job.points(columns, 5, first=2)
    job.load()
    from ganzoo.explore import paths
    from ganzoo.media import animation

    style = job.style(psi, cutoff, label)
    count = paths.styles_of(job.model, "style layers", **style).layers
    if job.animated:
        job.note(rows=a, columns=b, **style)
        groups = [range(first, count) for first in range(count, -1, -1)]  # the finest layers change hands first
        tables = [job.enlarge(paths.mix(job.model, a, b, layers=[group], **style), SHEET) for group in groups]
        job.write_film(animation.there_and_back(tables))
    else:
        job.note(rows=a, columns=b, layers=layers, **style)
        named = paths.layer_groups(layers, count)
        table = job.enlarge(paths.mix(job.model, a, b, layers=list(named.values()), **style), SHEET)
        captions = [f"{point.name}, {group}" for group in named for point in a]
        job.write_sheet(table, rows=["", *captions], columns=["", *(point.name for point in b)])
    job.report(as_json)


@app.command("walk")
@recorded("explore walk")
def walk(
    name: Name,
    out: Out,
    seeds: Seeds = None,
    seed: Seed = 0,
    direction: Annotated[str, typer.Option(help="Numbers of directions, 0 the most effective, as 0-4 or 2,5.")] = "0-4",
    attribute: Annotated[
        str | None,
        typer.Option(
            help='Of models with attributes: instead, from value to value of this one, "hair" or "hair=red,blue".'
        ),
    ] = None,
    reach: Annotated[float, typer.Option(help="How far, in standard deviations of the samples.")] = 3.0,
    steps: Annotated[int | None, typer.Option(min=2, max=500, help="Pictures; 7 on a sheet, else 24.")] = None,
    layers: Annotated[
        str | None, typer.Option(help="Of models with styles: the layers that are moved; coarse by default.")
    ] = None,
    psi: Psi = None,
    cutoff: Cutoff = None,
    label: Label = None,
    attributes: Asked = None,
    scale: Scale = None,
    fps: Fps = 20,
    weights: Weights = "default",
    as_json: Json = False,
) -> None:
    """Walk along the directions that the model's first weights stretch most (SeFa): what they mean, you see.

    With --attribute a walk leads through the values of an attribute, which is known to mean something.
    """
    job = Job("walk", name, out, seed, weights, scale, fps)
    points = job.points(seeds, 1)
    chosen = whole_numbers("--direction", direction)
    job.load()
    from ganzoo.explore import paths

    steps = steps or (24 if job.animated else 7)
    if attribute is not None:
        _along(job, points, attribute, steps, asked_for(attributes))
        job.report(as_json)
        return
    style = job.style(psi, cutoff, label, attributes)
    table = paths.walk(job.model, points, directions=chosen, reach=reach, steps=steps, layers=layers, **style)
    job.note(points=points, directions=chosen, reach=reach, steps=steps, layers=layers, **style)
    amounts = [f"{-reach + 2 * reach * i / (steps - 1):+.1f}" for i in range(steps)]
    captions = [f"{point.name}, direction {k}" for k in chosen for point in points]
    job.write_sweep(table, rows=captions, columns=amounts)
    job.report(as_json)


@app.command("vary")
@recorded("explore vary")
def vary(
    name: Name,
    out: Out,
    attribute: Annotated[str, typer.Option(help='The attribute that varies: "hair", or some values, "hair=red,blue".')],
    seeds: Seeds = None,
    seed: Seed = 0,
    attributes: Asked = None,
    scale: Scale = None,
    fps: Fps = 2,
    weights: Weights = "default",
    as_json: Json = False,
) -> None:
    """Give samples each value of an attribute, and keep all else: a row a sample, a column a value."""
    job = Job("vary", name, out, seed, weights, scale, fps)
    points = job.points(seeds, 4)
    job.load()
    from ganzoo.explore import asked

    style = options(attributes=asked_for(attributes))
    table, values = asked.vary(job.model, points, attribute=attribute, **style)
    job.note(points=points, attribute=attribute, values=values, **style)
    job.write_sweep(table, rows=[point.name for point in points], columns=values)
    job.report(as_json)


def _along(job: Job, points, attribute: str, steps: int, attributes: dict | None) -> None:
    from ganzoo.explore import asked

    style = options(attributes=attributes)
    table = asked.along(job.model, points, attribute=attribute, steps=steps, **style)
    job.note(points=points, attribute=attribute, steps=steps, **style)
    job.write_sweep(table, rows=[f"{point.name}, {attribute}" for point in points], columns=[""] * steps)


@app.command("project")
@recorded("explore project")
def project(
    name: Name,
    out: Out,
    input: Annotated[Path, typer.Option(help="The picture to find, of any size.")],
    seed: Seed = 0,
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Steps of the search.")] = 300,
    starts: Annotated[int, typer.Option(min=1, max=512, help="Searches, from the nearest of 512 samples.")] = 8,
    fit: Annotated[str, typer.Option(help='How the picture becomes a square: "crop", "pad" or "stretch".')] = "crop",
    label: Label = None,
    scale: Scale = None,
    fps: Fps = 20,
    weights: Weights = "default",
    as_json: Json = False,
) -> None:
    """Find the picture that is nearest to yours among all that the model can make.

    Next to the sheet (target, nearest sample, projection, loss) or the film of the search stands a report of the same name
    that ends in .json: distances, losses, and the point, which --seeds of the other commands takes.
    """
    job = Job("project", name, out, seed, weights, scale, fps)
    path = writable_file(out.with_suffix(".json"))
    from ganzoo.media import images

    if input.exists() and any(file.exists() and file.samefile(input) for file in (out, path)):
        raise GanzooError(f'"{input}" is the input and would be overwritten; choose another output.')
    picture = images.read_image(input)
    images.fit_image(picture[:1, :1], 1, fit)  # a misspelt --fit is found before the model is loaded
    job.load()
    import numpy as np

    from ganzoo.explore import points, projection
    from ganzoo.files import write_bytes
    from ganzoo.media import animation

    found = projection.project(
        job.model, picture, steps=steps, starts=starts, seed=seed, fit=fit, label=job.labels(label)
    )
    job.note(**input_facts(input), space=found.space, steps=steps, starts=starts, fit=fit, **options(label=label))
    if job.animated:
        frames = np.concatenate([found.frames, found.frames[-1:].repeat(fps, axis=0)])  # a second to look at the end
        job.write_film([job.enlarge(np.stack([found.target, frame]), FRAME)[None] for frame in frames])
    else:
        pictures = job.enlarge(np.stack([found.target, found.start, found.result]), FRAME)
        curve = animation.chart(found.losses, *pictures.shape[1:])
        titles = ["target", "nearest sample", "projection", ""]
        job.write_sheet(np.concatenate([pictures, curve[None]])[None], columns=titles)
    value: dict[str, Any] = {"format": points.FORMAT, **job.text, "space": found.space, "distances": found.distances}
    value |= {"latent": found.latent.tolist(), "losses": found.losses}
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())
    job.files.append(path)
    job.report(as_json, distances=found.distances, seconds=found.seconds)
