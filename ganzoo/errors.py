"""The one exception for bad input, the helpers that make its sentences useful, and how sentences are printed."""

import difflib
import sys
from collections.abc import Iterable

LONGEST = 3000  # characters of a sentence: what arrived may be a name of a million


class GanzooError(ValueError):
    """Bad input, said in a sentence: what arrived, what is accepted, what to do. The command line exits 2 on it.

    A sentence of more than LONGEST characters loses its middle, and one that no terminal could print its odd characters.
    """

    _keras_call_info_injected = True  # else Keras buries the sentence in a page of call arguments

    def __init__(self, sentence: object = ""):
        super().__init__(clipped(str(sentence)))


def clipped(text: str) -> str:
    """A text that can be printed and is at most LONGEST characters long: a longer one loses its middle."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 3 :]}"


def first_line(error: BaseException) -> str:
    """What another library says of its error, as a part of a sentence: the first line, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def printable(text: str) -> str:
    """`text` with control characters shown as escapes: a file name cannot move the cursor or colour the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def say(sentence: str) -> None:
    """One line for people on standard error, where it mixes with no output and shows at once."""
    print(printable(sentence), file=sys.stderr, flush=True)


def nearest(name: str, options: Iterable[str]) -> str:
    """Ending of an error sentence: the closest option for a typo, else the whole list."""
    options = list(options)
    close = difflib.get_close_matches(str(name).lower(), {o.lower(): o for o in options}, n=1, cutoff=0.6)
    if close:
        original = next(o for o in options if o.lower() == close[0])
        return f' Did you mean "{original}"?'
    return f" Accepted: {', '.join(options)}." if options else " None is available."


def missing_extra(package: str, extra: str) -> GanzooError:
    """The error for an optional package that is not installed; `extra` is the name in setup.cfg."""
    return GanzooError(f"This needs the package {package}, which is not installed: pip install 'ganzoo[{extra}]'.")
