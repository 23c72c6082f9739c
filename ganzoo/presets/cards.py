"""Model cards as Markdown, generated from the TOML files: no TensorFlow, nothing kept by hand."""

import re

from ganzoo import presets
from ganzoo.presets import Paper, Preset, Result

SHOWN = 4  # results of a preset in the models' table, the first ones; its card has all


def card(name: str, *, tables: bool = True) -> str:
    """The card of a paper ("pix2pix", all presets) or of one preset ("pix2pix/edges2emoji-128").

    Without `tables` the results are lists of value, floor and ceiling, for a terminal: ten columns do not fit there.

    Raises:
        GanzooError: unknown paper or preset.
    """
    paper, chosen = presets.resolve(name)
    record = presets.read(paper)
    shown = {chosen: record.presets[chosen]} if "/" in str(name) else record.presets
    parts = [_facts(paper, record.paper)]
    default = next(iter(record.presets))
    parts += [_preset(paper, key, preset, tables, default=key == default) for key, preset in shown.items()]
    parts.append(f"## Citation\n\n```bibtex\n{bibtex(paper, record.paper)}\n```")
    return "\n\n".join(parts) + "\n"


def bibtex(name: str, paper: Paper) -> str:
    """The paper as a BibTeX entry."""
    authors = paper.authors.split(", ")
    first = re.sub(r"[^a-z]", "", authors[0].split()[-1].casefold())
    fields = {
        "title": f"{{{paper.title}}}",
        "author": " and ".join(authors),
        "year": str(paper.year),
        "journal": f"arXiv preprint arXiv:{paper.arxiv}",
        "url": f"https://arxiv.org/abs/{paper.arxiv}",
    }
    lines = ",\n".join(f"  {key} = {{{value}}}" for key, value in fields.items())
    return f"@article{{{first}{paper.year}{name.replace('-', '')},\n{lines}\n}}"


def models_table() -> str:
    """The README's table of models: one row a preset."""
    rows = ["| model | what | input | weights | measured |", "|---|---|---|---|---|"]
    for name in presets.list_models():
        record = presets.read(name)
        for key, preset in record.presets.items():
            weights = f"{preset.weights.bytes / 1e6:.1f} MB" if preset.weights else "train it"
            measured = [f"{r.metric} = {r.value:g}" for r in preset.results if r.source == "measured"]
            rows.append(
                f"| `{name}/{key}` | {preset.about} | {record.paper.task} | {weights} | {'; '.join(measured[:SHOWN])} |"
            )
    return "\n".join(rows)


def _facts(name: str, paper: Paper) -> str:
    code = f"code [{paper.code.removeprefix('https://')}]({paper.code})" if paper.code else "without official code"
    counts = ", ".join(f"{network} {count:,}" for network, count in paper.params.items())
    return "\n".join(
        [
            f"# {name}",
            "",
            f"**{paper.title}**, {paper.authors}, {paper.year}. arXiv [{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv}), "
            f"{code}.",
            "",
            f"- Task: {paper.task}",
            f"- Parameters at paper size (`{name}/{paper.paper_preset}`): {counts}",
            *([f"- Also called: {', '.join(paper.aliases)}"] if paper.aliases else []),
        ]
    )


def _preset(paper: str, name: str, preset: Preset, tables: bool, *, default: bool) -> str:
    lines = [f"## {paper}/{name}" + (" (default)" if default else ""), "", f"{preset.about}.", ""]
    if preset.expects:
        lines.append(f"- Expects: {preset.expects}")
    if preset.not_for:
        lines.append(f"- Not for: {preset.not_for}")
    data, train = preset.data, preset.train
    other = f" and `{data.source_b}`" if data.source_b else ""
    lines.append(f"- Data: `{data.source}`{other} ({data.split}), {_size(data)}, shape {data.shape}")
    rates = " and ".join(
        f"{t} {o.name} {o.learning_rate:g}" for t, o in (("G", train.g_optimizer), ("D", train.d_optimizer))
    )
    lines.append(
        f"- Training: batch {train.batch_size}, {train.steps:,} steps, {rates}, seed {train.seed}, {train.precision}"
    )
    if preset.weights is None:
        lines.append(f"- Weights: none published; `ganzoo train {paper}/{name} -o runs/{name}` makes them")
        return "\n".join(lines)
    weights = preset.weights
    lines.append(f"- Weights: `{weights.file}`, {weights.bytes / 1e6:.1f} MB, sha256 `{weights.sha256}`")
    if weights.hub:
        lines.append(f"- Not in the package: `ganzoo fetch {paper}/{name}` brings them from {weights.hub}")
    lines.append(f"- Licence of the weights: {weights.licence}")
    if weights.attribution:
        lines.append(f"- Attribution: {weights.attribution}")
    return "\n".join([*lines, *_results(preset, tables)])


def _size(data: presets.DataConfig) -> str:
    if data.shape == "voxels":
        return f"{data.size}x{data.size}x{data.size} voxels"
    return f"{data.size} px, {data.channels} channel(s)"


def _results(preset: Preset, tables: bool) -> list[str]:
    """The results, and what looks for copies."""
    if not preset.results:
        return []
    lines = ["", *(_table(preset.results) if tables else ["Results:", "", *map(_item, preset.results)])]
    if any(r.floor is not None or r.ceiling is not None for r in preset.results):
        lines += [
            "",
            "Floor: real training pictures instead of the samples, measured in the same way (for near-copies real test "
            "pictures). Ceiling: an untrained model.",
        ]
    for r in preset.results:
        if r.sheet is not None and r.metric.startswith("voxel-iou"):
            lines += [
                "",
                f"Did it copy? Samples next to the training shapes that they overlap most: `ganzoo/assets/{r.sheet}`.",
            ]
        elif r.sheet is not None and r.metric.startswith("hole-"):
            lines += ["", f"Held-out pictures with the hole, filled, and as they are: `ganzoo/assets/{r.sheet}`."]
        elif r.sheet is not None:
            lines += [
                "",
                f"Did it copy? {r.value:.1%} of the samples lie nearer to a training picture than these to each other, and "
                f"{r.floor or 0:.1%} of the real test pictures do. Samples next to their nearest training pictures: "
                f"`ganzoo/assets/{r.sheet}`.",
            ]
    return lines


def _table(results: tuple[Result, ...]) -> list[str]:
    head = ("metric", "value", "floor", "ceiling", "source", "steps", "images", "hours", "seed", "note")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for r in results:
        cells = (r.metric, _value(r), *_limits(r).values(), r.source, r.steps, r.images, r.hours, r.seed, _note(r))
        lines.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    return lines


def _note(result: Result) -> str:
    """What there is to say, and what the same method reaches in PyTorch."""
    twin = "" if result.pytorch is None else f"the same in PyTorch: {result.pytorch:g}"
    return "; ".join(part for part in (twin, result.note) if part)


def _item(result: Result) -> str:
    limits = ", ".join(f"{name} {limit}" for name, limit in _limits(result).items() if limit is not None)
    if result.pytorch is not None:
        limits = f"{limits}, " * bool(limits) + f"the same in PyTorch {result.pytorch:g}"
    return f"- {result.metric}: {_value(result)}" + (f" ({limits})" if limits else "")


def _value(result: Result) -> str:
    return f"{result.value:g}" if result.std is None else f"{result.value:g} ± {result.std:g}"


def _limits(result: Result) -> dict[str, str | None]:
    found = {"floor": result.floor, "ceiling": result.ceiling}
    return {name: None if limit is None else f"{limit:g}" for name, limit in found.items()}
