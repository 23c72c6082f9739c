"""The typer application: which verbs there are, and what each kind of failure prints and returns.

Exit codes: 0 done; 2 bad input, said in one sentence on standard error; 130 stopped with Ctrl-C (a training has saved
its state and goes on with --resume); 1 anything else. A failure that nobody foresaw is a bug and keeps its traceback.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from ganzoo import __version__
from ganzoo.cli import (
    catalogue,
    data,
    demo,
    doctor,
    evaluate,
    explain,
    explore,
    export,
    fetch,
    new_paper,
    plan,
    push,
    replay,
    sample,
    serve,
    train,
)
from ganzoo.cli.output import os_sentence
from ganzoo.errors import GanzooError, clipped, say
from ganzoo.presets import trust

OUT_OF_MEMORY = ("MemoryError", "_ArrayMemoryError", "ResourceExhaustedError")  # Python's, NumPy's, TensorFlow's
TRUST = "--trust"
INTERRUPTED = 130  # 128 + SIGINT, what shells report for a command that Ctrl-C ended

# Usage errors derive from this class; newer typer carries its own click, so the class has no public import path.
UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class Verbs(TyperGroup):
    """A command group that turns every exception into the exit codes above."""

    def main(self, args: Sequence[str] | None = None, **options: Any) -> Any:
        """Runs the command line; like click's own `main` it leaves through SystemExit unless `standalone_mode` is off."""
        standalone = options.pop("standalone_mode", True)
        try:
            args = list(sys.argv[1:] if args is None else args) or ["--help"]
            if TRUST in args:  # of every verb that reads a folder or a TOML file
                args = [arg for arg in args if arg != TRUST]
                trust.grant()
            code = super().main(args, standalone_mode=False, **options)
            sys.stdout.flush()
        except UsageError as error:
            say(f"Error: {clipped(' '.join(error.format_message().split()))}")
            code = error.exit_code
        except GanzooError as error:
            say(f"Error: {error}")
            code = 2
        except (KeyboardInterrupt, typer.Abort):
            say("Interrupted.")
            code = INTERRUPTED
        except BrokenPipeError:  # the reader of our output, such as `head`, has left; nothing may be flushed at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except OSError as error:
            sentence, code = os_sentence(error)
            say(f"Error: {clipped(sentence)}")
        except Exception as error:  # the last line of defence: code 1, and the traceback that a bug report needs
            if "No space left on device" in str(error):  # TensorFlow's ResourceExhaustedError, from a writer
                say("Error: no space left on the device of the output; free some or choose another place.")
            elif type(error).__name__ in OUT_OF_MEMORY:
                say("Error: not enough memory; take smaller pictures, fewer samples or a smaller --batch-size.")
            else:
                say(f"{traceback.format_exc()}\nError: this is a fault in ganzoo {__version__}; please report it.")
            code = 1
        if standalone:
            sys.exit(code or 0)
        return code or 0


app = typer.Typer(
    name="ganzoo",
    cls=Verbs,
    help="A zoo of generative adversarial networks: trained models that load, sample, fine-tune and export.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ganzoo {__version__}")
        raise typer.Exit()


@app.callback()
def ganzoo(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    """A zoo of generative adversarial networks: trained models that load, sample, fine-tune and export.

    With --trust, at any verb, a folder or TOML file from elsewhere may name a SavedModel that is loaded and run.
    """


app.command("list")(catalogue.list_models)
app.command("card")(catalogue.card)
app.command("explain")(explain.explain)
app.command("sample")(sample.sample)
app.command("replay")(replay.replay)
app.command("train")(train.train)
app.command("finetune")(train.finetune)
app.command("plan")(plan.plan)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(explore.app, name="explore")
app.command("export")(export.export)
app.command("push")(push.push)
app.command("fetch")(fetch.fetch)
app.command("import")(export.import_checkpoint)
app.command("serve")(serve.serve)
app.add_typer(data.app, name="data")
app.add_typer(doctor.app, name="doctor")
app.command("demo")(demo.demo)
app.command("new-paper")(new_paper.new_paper)


def main() -> None:
    """The console script `ganzoo`."""
    app(prog_name="ganzoo")
