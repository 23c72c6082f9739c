"""The recorded networks of other frameworks in tests/golden."""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"


def golden_state(name):
    """The state dict of a network, by its own keys."""
    stored = np.load(GOLDEN / f"{name}.npz", allow_pickle=False)
    return {key[2:]: stored[key] for key in stored.files if key.startswith("w.")}
