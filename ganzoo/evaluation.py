"""evaluate: joins model, data and metrics. Here: the papers' own small protocols, one for each model of the zoo.

| model | metric | protocol |
|---|---|---|
| pix2pix | `l1_n300_test`, `psnr_n300_test` | test pairs against outputs, 0..1 scale; `l1-copy`: the input as output |
| gan | `parzen10k_n1000_test` | nats, Parzen window on 10,000 samples, sigma chosen on 1,000 training images |
| dcgan | `linear-d-features_n2000_test` | accuracy of a linear classifier on D's pooled features, beside an untrained D |
"""

import time

import keras
import numpy as np

from ganzoo import blocks, images, presets, zoo
from ganzoo import data as data_layer
from ganzoo import metrics as measures
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError, nearest


def evaluate(model_or_name, data=None, *, metrics=None, n: int | None = None, seed: int = 0) -> list[dict]:
    """Measures a model and returns one record a metric: metric, value, model, weights, data, n, seed, seconds.

    Args:
        model_or_name: a model, or what `load` takes. A model with random weights is refused.
        data: another source than the preset's own.
        metrics: names of the table above without the sample count; all that fit the model by default.
        n: test items, all by default.

    Raises:
        GanzooError: unknown metric, random weights, or data that the metric cannot use.
    """
    model = model_or_name if isinstance(model_or_name, BaseGAN) else zoo.load(model_or_name)
    if model.weights_source == "random":
        raise GanzooError("The model has random weights: there is nothing to measure. Load trained ones first.")
    config = model.run_config.data
    if data is not None:
        config = config.model_copy(update={"source": data})
    known = {name: function for paper, name, function in METRICS if paper == model.paper}
    for name in metrics or ():
        if name not in known:
            raise GanzooError(f'{model.paper} has no metric "{name}".{nearest(name, known)}')
    records = []
    for name in metrics or known:
        began = time.perf_counter()
        value, count, note = known[name](model, config, n, seed)
        records.append(
            {
                "metric": f"{name}_n{count}_{config.test_split}",
                "value": value,
                "note": note,
                "model": f"{model.paper}/{model.preset}",
                "weights": model.weights_source,
                "data": config.source,
                "n": count,
                "seed": seed,
                "seconds": round(time.perf_counter() - began, 1),
            }
        )
    return records


def _paired(measure):
    def run(model, config: presets.DataConfig, n, seed):
        pairs = _take(config, config.test_split, n)
        made = model.generate(pairs["input"], seed=seed)
        return measure(pairs["target"], made), len(made), "output against target, 0..1 scale"

    return run


def _copied(model, config, n, seed):
    pairs = _take(config, config.test_split, n)
    copied = images.to_channels(pairs["input"], pairs["target"].shape[-1])
    return measures.l1(pairs["target"], copied), len(copied), "baseline: the input copied to the output"


def _parzen(model, config, n, seed):
    def pixels(array):
        return array.reshape(len(array), -1) / 255.0

    samples = pixels(model.generate(10_000, seed=seed))
    validation = pixels(_take(config, config.split, None)["image"][-1000:])
    test = pixels(_take(config, config.test_split, n)["image"])
    mean, error, sigma = measures.parzen_log_likelihood(samples, test, validation=validation)
    return mean, len(test), f"nats, standard error {error:.1f}, sigma {sigma:.3f}"


def _linear(model, config, n, seed):
    # Labels come with bundled sets only, in the order of the set's rows.
    columns = data_layer.bundled.columns(config.source) if config.source in data_layer.bundled_names() else {}
    label = next((key for key in ("label", "mouth") if key in columns), None)
    if label is None:
        raise GanzooError(f'linear-d-features needs a labelled bundled data set; "{config.source}" has no labels.')
    sets = []
    for split, limit in ((config.split.split("+")[0], 10_000), (config.test_split, n)):
        pictures = _take(config, split, limit)["image"]
        sets.append((pictures, columns[label][columns["split"] == split][: len(pictures)]))

    def accuracy(judge):
        (train, train_labels), (test, test_labels) = sets
        features = _discriminator_features(judge, train), _discriminator_features(judge, test)
        return measures.linear_accuracy(features[0], train_labels, features[1], test_labels)

    keras.utils.set_random_seed(seed)
    untrained = accuracy(zoo.build(model.run_config))
    note = f"{label} from D's features, {len(sets[0][0]):,} training rows; an untrained D gives {untrained:.3f}"
    return accuracy(model), len(sets[1][0]), note


def _discriminator_features(model, pictures: np.ndarray) -> np.ndarray:
    """Radford et al. section 5.1: D's features of every layer, max-pooled to a 4x4 grid, flattened, concatenated."""
    d = model.discriminator
    outputs = [layer.output for layer in d.layers if layer.name.endswith("_lrelu")]
    pooled = [keras.layers.MaxPooling2D(o.shape[1] // 4)(o) if o.shape[1] > 4 else o for o in outputs]
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(o) for o in pooled])
    network = keras.Model(d.inputs, flat)
    rows = [
        network(blocks.images_in(pictures[i : i + 250], model.channels), training=False).numpy()
        for i in range(0, len(pictures), 250)
    ]
    return np.concatenate(rows)


def _take(config, split, n):
    source = data_layer.open_source(config, split)
    return source.take(len(source) if n is None else n)


METRICS = (
    ("pix2pix", "l1", _paired(measures.l1)),
    ("pix2pix", "psnr", _paired(measures.psnr)),
    ("pix2pix", "l1-copy", _copied),
    ("gan", "parzen10k", _parzen),
    ("dcgan", "linear-d-features", _linear),
)
