"""The names that people know from KerasHub and the Hugging Face Hub, for what `ganzoo` calls load, save and push."""

import tempfile
from pathlib import Path
from typing import Any, Self

from ganzoo.errors import GanzooError


class Sharing:
    """Aliases of the package's own functions, which know every paper: this room knows none of them."""

    @classmethod
    def from_preset(cls, name: str | Path, **options: Any) -> Self:
        """`ganzoo.load(name, **options)`: a preset, a folder or an address.

        Raises:
            GanzooError: as `ganzoo.load`; or it is a model of another class than this one.
        """
        import ganzoo

        model = ganzoo.load(name, **options)
        if not isinstance(model, cls):
            raise GanzooError(f"{name} is a {type(model).__name__}, not a {cls.__name__}: use ganzoo.load.")
        return model

    def save_to_preset(self, folder: str | Path, **options: Any) -> Path:
        """`ganzoo.save(self, folder, **options)`."""
        import ganzoo

        return ganzoo.save(self, folder, **options)

    def push_to_hub(self, name: str, *, revision: str | None = None, private: bool = False) -> str:
        """Uploads the model to the Hub, "user/name" or "hf://user/name", as `ganzoo push` does; returns the commit's address.

        Raises:
            GanzooError: no such address, no token, no `pip install 'ganzoo[hub]'`, or the Hub refuses.
        """
        import ganzoo

        address = name if name.startswith(ganzoo.hub.HUB) else f"{ganzoo.hub.HUB}{name}"
        with tempfile.TemporaryDirectory() as folder:
            saved = ganzoo.save(self, folder)
            return ganzoo.hub.push(saved, address, revision=revision, private=private)
