"""The one protocol of data: three kinds of source that answer the same questions."""

import numpy as np
import pytest

from ganzoo import data
from ganzoo.data.source import Source
from ganzoo.errors import GanzooError
from ganzoo.presets import DataConfig

KINDS = {
    "images": ({"source": "fashion", "size": 28, "channels": 1}, {"labels"}),
    "paired": ({"source": "adventurer_pairs_64", "size": 64, "input_channels": 1}, set()),
    "captions": ({"source": "lorelei_64", "size": 64}, {"texts"}),
    "unpaired": ({"source": "emoji_64", "size": 64}, {"sides"}),
    "voxels": ({"source": "furniture_voxels_32", "size": 32, "channels": 1}, {"labels"}),
}


@pytest.fixture(scope="module")
def sources():
    return {shape: data.open_source(DataConfig(shape=shape, **options)) for shape, (options, _) in KINDS.items()}


@pytest.mark.parametrize("shape", KINDS)
def test_every_source_answers_the_same_questions(shape, sources):
    source, has = sources[shape], KINDS[shape][1]
    assert Source in type(source).__mro__
    assert (source.labels is not None, source.texts is not None) == ("labels" in has, "texts" in has)
    assert bool(source.sides) == ("sides" in has)
    assert bool(source.sentences(2)) == ("texts" in has)
    items, first = source.take(2), source.fetch(0, source.size)
    assert tuple(items) == source.columns
    for column, channels, item in zip(source.columns, source.channels, first, strict=True):
        np.testing.assert_array_equal(items[column][0], item)
        assert item.shape[-1] == channels
    facts = source.summary()
    assert (facts["count"], facts["fingerprint"], facts["split"]) == (len(source), source.fingerprint, "train")
    batch = next(iter(data.batches(source, 3, seed=1)))
    assert {name: len(value) for name, value in batch.items()} == dict.fromkeys(source.columns, 3)


@pytest.mark.parametrize("shape", KINDS)
def test_what_a_source_has_not_is_refused_in_the_same_words(shape, sources):
    if "labels" not in KINDS[shape][1]:
        with pytest.raises(GanzooError, match="A model with classes needs labels, and "):
            data.batches(sources[shape], 2, labels=True)
    if "texts" not in KINDS[shape][1]:
        with pytest.raises(GanzooError, match=f"is read as {shape}: set data.shape"):
            data.batches(sources[shape], 2, texts="text")
