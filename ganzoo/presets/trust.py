"""What a file may make this program do: be read. A folder or TOML that names code to run needs the user's word first.

The one way to name code in our files is the prefix "hub:" of a model argument (a SavedModel, or a handle that tensorflow-hub
resolves): its graph may read and write files. Typed by the user (an argument of `load`, `--set`), it is taken as it is.
"""

import contextlib
import contextvars
from collections.abc import Iterator

from ganzoo.errors import GanzooError

CODE = "hub:"
_granted = contextvars.ContextVar("granted", default=False)


def grant() -> None:
    """From here on the files that this process reads may name code (`--trust`)."""
    _granted.set(True)


@contextlib.contextmanager
def granted(wanted: bool) -> Iterator[None]:
    """While the body runs, files may name code if `wanted`, or if that was granted before."""
    token = _granted.set(wanted or _granted.get())
    try:
        yield
    finally:
        _granted.reset(token)


def check(tables: dict, where: str) -> None:
    """Refuses the tables of a file that name code, unless that was granted; an address in the network in any case.

    Raises:
        GanzooError: the sentence says what would be loaded, and how to allow it.
    """
    arguments = tables.get("model")
    for key, value in arguments.items() if isinstance(arguments, dict) else ():
        if not isinstance(value, str) or not value.startswith(CODE):
            continue
        path = value.removeprefix(CODE)
        if "://" in path:
            raise GanzooError(
                f"{where} would fetch model.{key} from {path}, and nothing is fetched because a file says so. Fetch it "
                f'yourself and give its folder: --set model.{key}="hub:FOLDER", in Python load(..., {key}="hub:FOLDER").'
            )
        if not _granted.get():
            raise GanzooError(
                f"{where} makes this program load and run the SavedModel {path} (model.{key}), which may do anything that "
                "you may. If you trust whoever wrote it, add --trust, in Python trust=True."
            )
