"""Which items of a folder without val/ and test/ are held back as its test split.

The rule: a tenth of the items (`data.hold_out`), rounded to the nearest whole number: those whose names, without folders
around everything and without suffix, have the smallest sha256. So it is the same on every machine, whatever the order of
the files is. Each domain of unpaired data gives its own tenth. Of classes each gives its own tenth, rounded down, and the
rest come from the smallest hashes, one more of a class at most. Of fewer than FEWEST items none is held back.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

from ganzoo.data.sources.trees import same

TENTH = 0.1
FEWEST = 20  # of fewer items a tenth is one picture or none, and each counts in training


def held_back(names: Sequence[str], share: float, groups: Sequence[str | None] | None = None) -> list[int]:
    """Places, rising, of the items that are held back.

    Args:
        names: of the items, each once. share: of them, 0 to 0.5. groups: the class of each.
    """
    count = int(share * len(names) + 0.5)
    if len(names) < FEWEST or not count:
        return []
    groups = groups or [None] * len(names)
    order = sorted(range(len(names)), key=lambda i: (_digest(names[i]), names[i]))
    sizes = Counter(groups)
    quota = {group: int(share * size) for group, size in sizes.items()}
    chosen: set[int] = set()
    for more in (0, 1):  # the second time one more of a class, if there are two left
        taken = Counter(groups[i] for i in chosen)
        for place in order:
            group = groups[place]
            free = taken[group] < quota[group] + more and sizes[group] > quota[group] + more
            if place not in chosen and free and len(chosen) < count:
                chosen.add(place)
                taken[group] += 1
    return sorted(chosen)


def remark(held: int, total: int, source: str) -> str:
    """What a person should hear of it; "" where nothing is to be said."""
    if held:
        return (
            f"{held:,} of the {total:,} items of {source} are held back as a test split, those whose names have the smallest "
            "sha256: nothing is trained on them. To train on all, set data.hold_out = 0."
        )
    return (
        f"{source} has {total:,} items and no test split; of fewer than {FEWEST} none is held back, and the sample grids show "
        "training pictures."
    )


def _digest(name: str) -> bytes:
    return hashlib.sha256(same(name).encode("utf-8", "backslashreplace")).digest()
