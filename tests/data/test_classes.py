"""Names of classes, and classes shown alike however many pictures they have."""

import numpy as np
import pytest
from PIL import Image

from ganzoo import data
from ganzoo.data import open_source
from ganzoo.errors import GanzooError
from ganzoo.presets import DataConfig


@pytest.fixture
def uneven(tmp_path):
    """9 cats, 3 dogs, 2 owls, each of a grey of its own: the class times 50, plus its number."""
    for number, (name, count) in enumerate({"cat": 9, "dog": 3, "owl": 2}.items()):
        for i in range(count):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(np.full((8, 8), 50 * number + i, np.uint8)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def config(source, **more):
    return DataConfig(**{"shape": "images", "source": str(source), "size": 8, "channels": 1} | more)


def greys(dataset, steps):
    rows = [next(iter(dataset)) for _ in range(1)] if steps == 1 else list(dataset.take(steps))
    shown = np.concatenate([np.rint((batch["image"][:, 0, 0, 0].numpy() + 1) * 127.5).astype(int) for batch in rows])
    labels = [batch["label"].numpy() for batch in rows if "label" in batch]
    return shown, np.concatenate(labels) if labels else None


def test_a_source_names_its_classes(uneven):
    assert open_source(config(uneven)).class_names == ("cat", "dog", "owl")
    clothes = open_source(config("fashion", size=28))
    assert clothes.class_names[:2] == ("T-shirt/top", "Trouser")
    assert len(clothes.class_names) == 10
    assert open_source(config(uneven / "cat")).class_names == ()


def test_balanced_classes_come_alike_and_every_picture_before_any_again(uneven):
    source = open_source(config(uneven, balance=True))
    shown, labels = greys(data.batches(source, 6, seed=3, labels=True), 9)
    assert (shown // 50).tolist() == labels.tolist(), "labels stay next to their pictures"
    for block in labels.reshape(-1, 3):
        assert sorted(block) == [0, 1, 2]
    for number, count in ((0, 9), (1, 3), (2, 2)):
        own = shown[labels == number] % 50
        for start in range(0, len(own) - count + 1, count):
            assert sorted(own[start : start + count]) == list(range(count))
    plain = greys(data.batches(open_source(config(uneven)), 14, seed=3, labels=True), 1)[1]
    assert np.bincount(plain).tolist() == [9, 3, 2]


def test_a_balanced_run_goes_on_where_it_was(uneven):
    source = open_source(config(uneven, balance=True))
    whole, _ = greys(data.batches(source, 4, seed=5), 8)
    rest, _ = greys(data.batches(source, 4, seed=5, start_step=5), 3)
    np.testing.assert_array_equal(rest, whole[20:])
    other, _ = greys(data.batches(source, 4, seed=6), 8)
    assert not np.array_equal(other, whole)


def test_what_cannot_be_balanced_is_said(uneven):
    with pytest.raises(GanzooError, match="needs labels"):
        data.batches(open_source(config(uneven / "cat", balance=True)), 2)
    with pytest.raises(ValueError, match="balance shows classes alike"):
        DataConfig(shape="paired", source="emoji", size=8, balance=True)


def test_a_class_of_one_picture_is_refused_for_a_model(uneven):
    (uneven / "owl" / "1.png").unlink()
    with pytest.raises(GanzooError, match=r'The class "owl" of .* has one picture'):
        data.check_labels(open_source(config(uneven)), 3)
