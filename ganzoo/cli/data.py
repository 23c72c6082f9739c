"""`ganzoo data`: look at the pictures before a training does."""

import typer

app = typer.Typer(help="Check data sets.")
