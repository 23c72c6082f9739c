"""`ganzoo demo`: everything once."""

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.output import console, report, writable_folder
from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import printable, say

Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the samples and the fine-tuning.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and no progress.")]


def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The folder to write; an earlier demo's is replaced.")
    ] = Path("demo"),
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Steps of fine-tuning.")] = 240,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run the main job end to end, offline: sample every shipped model, fine-tune, export, reload, compare.

    The result is one page with all pictures and figures: OUT/index.html.
    """
    writable_folder(out)
    load_tensorflow()
    from ganzoo.demo import DemoFailure, run_demo

    screen = console(stderr=True)
    try:
        with screen.status("Starting") as status:

            def tell(text: str) -> None:
                if not as_json:
                    screen.print(printable(text), markup=False)
                    status.update(text)

            result = run_demo(out, seed=seed, steps=steps, tell=tell)
    except DemoFailure as failure:
        say(f"Error: {failure}")
        raise typer.Exit(1) from None
    checked = [f"{e['model']} {e['largest_difference']}/255" for e in result["exports"]]
    text = f"Done in {result['seconds']} s. SavedModel against Keras: {', '.join(checked)}. Open {result['page']}"
    report(result, text, as_json=as_json)
