"""How each bundled data set is rebuilt from its pinned upstream packages, one module per set.

Each module states its `PACKAGES` (as in the sidecar of the set) and the `FETCH` commands, and holds the code where that is
short and the words where it is long. Nothing here runs in training. `bundle` cuts the bundled part from full sets.

What every recipe shares: pictures are put on white; drawings were reduced to 16 to 192 colours each (median cut, no
dither: mean error about 1/255, half the size) and stored as lossless WebP end to end, so a rebuilt picture equals the
bundled one within one or two of 255 levels on average, not bit by bit. About a tenth of all concepts (emoji, furniture) is
held back for an independent evaluation and occurs in no bundled file.
"""
