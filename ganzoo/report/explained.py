"""`ganzoo.report.explain` as Markdown for a terminal and as one HTML page."""

from ganzoo.presets import read
from ganzoo.report import pages
from ganzoo.report.explain import Difference, Event, Explanation, Network, Part

LAYERS = ("layer", "in the paper", "kind", "options", "output", "parameters")
SETTINGS = ("option", "here", "paper's preset", "meaning")
DASH = "-"


def markdown(e: Explanation) -> str:
    """The whole explanation as Markdown."""
    parts = [f"# {e.name}", f"**{e.text.title}**. {e.text.source}", "## Objective", f"```text\n{e.text.objective}\n```"]
    parts += ["## Symbols", _table(("paper", "here"), e.text.symbols)]
    for network in e.networks:
        parts += [f"## {_heading(network)}"]
        parts += [_table(LAYERS, [_layer(layer) for layer in network.layers])] if network.layers else []
    for part in e.parts:
        parts += [f"## {_part_heading(part)}", "```text\n" + "\n".join(diagram(part)) + "\n```"]
    parts += ["## Training", e.text.training]
    parts += [f"## Settings compared with {e.paper_preset}", _table(SETTINGS, [_setting(s) for s in e.settings])]
    parts += ["## Deviations", _deviations(e)]
    return "\n\n".join(parts) + "\n"


def html(e: Explanation) -> str:
    """The explanation as one page that opens offline, with the source of `train_step`."""
    record = read(e.name.split("/")[0]).paper
    facts = {
        "year": record.year,
        "arXiv": record.arxiv,
        **{f"parameters of {network.name}": f"{network.parameters:,}" for network in e.networks if not network.copy_of},
    }
    networks = [
        pages.section(_heading(n), pages.table(LAYERS, [_layer(layer, number=int) for layer in n.layers]))
        for n in e.networks
    ]
    orders = [pages.section(_part_heading(part), _drawing(part)) for part in e.parts]
    settings = [
        [pages.Cell(key, "good" if here == paper else ""), here, paper, meaning]
        for key, here, paper, meaning in (_setting(s) for s in e.settings)
    ]
    return pages.page(
        f"{e.name}: {e.text.title}",
        *(pages.paragraph(line, "dim") for line in e.text.source.split("\n\n")),
        pages.facts(facts),
        pages.section("Objective", f"<pre>{pages.esc(e.text.objective)}</pre>"),
        pages.section("Symbols", pages.table(("paper", "here"), e.text.symbols)),
        *networks,
        *orders,
        pages.details("The code of a step", f"<pre>{pages.esc(e.step_source)}</pre>"),
        pages.section("Training", *(pages.paragraph(p) for p in e.text.training.split("\n\n"))),
        pages.section(f"Settings compared with {e.paper_preset}", pages.table(SETTINGS, settings)),
        pages.section("Deviations", *(pages.paragraph(p) for p in _deviations(e).split("\n\n"))),
    )


def difference_markdown(d: Difference) -> str:
    """Where two sets of options differ, as Markdown."""
    a, b = d.names
    parts = [f"# {a} and {b}"]
    for heading, rows in (("Settings", d.settings), ("Parameters", d.parameters), ("Layers", d.layers)):
        cells = [(key, _value(one), _value(two)) for key, one, two in rows]
        parts += [f"## {heading}", _table(("", a, b), cells) if cells else "No difference."]
    return "\n\n".join(parts) + "\n"


def difference_html(d: Difference) -> str:
    """Where two sets of options differ, as one page."""
    a, b = d.names
    return pages.page(
        f"{a} and {b}",
        *(
            pages.section(
                heading,
                pages.table(("", a, b), [(key, _value(one), _value(two)) for key, one, two in rows])
                or pages.paragraph("No difference."),
            )
            for heading, rows in (("Settings", d.settings), ("Parameters", d.parameters), ("Layers", d.layers))
        ),
    )


def diagram(part: Part) -> list[str]:
    """The lines of a text diagram: what a step does, downwards; updates are numbered in their order."""
    lines = [f"batch: {', '.join(f'{name} {what}' for name, what in part.batch)}"]
    count = 0
    for depth, event in _flat(part.events):
        count += event.kind == "updates"
        lines += [f"  |{'  |' * depth}", f"  v{'  v' * depth}  {_sentence(event, count)}"]
    return lines


# ---- the parts -------------------------------------------------------------------------------------------------------
def _deviations(e: Explanation) -> str:
    return e.text.deviations.removeprefix("Deviations: ")


def _heading(network: Network) -> str:
    if network.copy_of:
        return f"{network.name}: the average of {network.copy_of}, {network.parameters:,} parameters"
    return f"{network.name}: {network.parameters:,} parameters"


def _part_heading(part: Part) -> str:
    return f"A step of the part {part.name}" if part.name else "A step"


def _layer(layer, number=lambda n: f"{n:,}" if n else DASH) -> tuple:
    return (layer.name, layer.symbol, layer.kind, layer.what, layer.shape, number(layer.parameters))


def _setting(setting) -> tuple[str, str, str, str]:
    return (setting.key, _value(setting.value), _value(setting.paper), setting.meaning)


def _value(value) -> str:
    return DASH if value is None else pages.number(value) if isinstance(value, int | float) else str(value)


def _flat(events: tuple[Event, ...], depth: int = 0):
    for event in events:
        yield depth, event
        yield from _flat(event.inside, depth + 1)


def _sentence(event: Event, count: int) -> str:
    times = f"{event.times} times " if event.times > 1 else ""
    if event.kind == "repeats":
        return f"{event.times} times:"
    if event.kind == "updates":
        return f"[{count}] {times}{event.name} updates {event.detail}"
    if event.kind == "averages":
        return f"{event.name} follows {event.detail}"
    return f"{times}{event.name}"


def _drawing(part: Part) -> str:
    """The diagram as inline SVG: boxes downwards, updates filled, what is repeated indented."""
    rows = [(0, "batch", diagram(part)[0])]
    count = 0
    for depth, event in _flat(part.events):
        count += event.kind == "updates"
        rows.append((depth, event.kind, _sentence(event, count)))
    high, gap, width = 30, 16, 900
    out = [f'<svg viewBox="0 0 {width} {len(rows) * (high + gap)}" role="img" aria-label="order of a step">']
    for i, (depth, kind, text) in enumerate(rows):
        x, y = 4 + 40 * depth, i * (high + gap) + 2
        fill = 'fill="var(--c0)" fill-opacity=".16"' if kind == "updates" else 'fill="var(--card)"'
        out.append(
            f'<rect x="{x}" y="{y}" width="{width - 8 - x}" height="{high}" rx="6" {fill} stroke="var(--line)"/>'
        )
        out.append(f'<text x="{x + 12}" y="{y + 20}">{pages.esc(text)}</text>')
        if i:
            out.append(f'<path d="M{x + 20} {y - gap}v{gap - 3}m-4 -5l4 5l4 -5" fill="none" stroke="var(--dim)"/>')
    return f"<figure>{''.join(out)}</svg></figure>"


def _table(head, rows) -> str:
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(
        [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in cells)]
    )
