"""One measurement of `benchmarks.metrics` in its own process: `python -m benchmarks.measure_metrics KIND REQUEST`.

KIND is a function of this file, REQUEST its arguments as JSON; prints one line of JSON. Everything compared within one
KIND sees the same features in the same process, one after the other.
"""

import contextlib
import importlib
import io
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import timing
from ganzoo import metrics

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020  # torch-fidelity's own
NEIGHBOURS = 3
BATCH = 64  # rows that an extractor would hand over at a time


def features(seed: int, rows: int, dimensions: int, shift: float = 0.0) -> np.ndarray:
    """Made-up float32 features (rows, dimensions): non-negative, correlated, with a falling spectrum, as a network's are."""
    mix = np.random.default_rng(0).normal(size=(dimensions, dimensions)).astype(np.float32)
    mix *= np.arange(1, dimensions + 1, dtype=np.float32)[:, None] ** -0.7
    latents = np.random.default_rng(seed).normal(shift, 1, (rows, dimensions)).astype(np.float32)
    return np.maximum(latents @ mix, 0)


def clocked(call: Callable[[], object]) -> dict:
    """{"seconds", "cpu_seconds", "value"} of one call, or {"error"}: another library's failure is a cell of the table, not ours."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        start, cpu = time.perf_counter(), time.process_time()
        try:
            value = call()
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    values = [float(v) for v in np.atleast_1d(np.asarray(value, np.float64))]
    return {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3), "value": values}


def library(name: str):
    """The module, or None where it or one of its own needs is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def compared(sides: dict[str, tuple[str | None, Callable]]) -> dict:
    """{side: clocked(call(module))}; {"missing": module} without the module that a side needs."""
    results = {}
    for side, (name, call) in sides.items():
        module = library(name) if name else None
        if name and module is None:
            results[side] = {"missing": name}
        else:
            results[side] = clocked(lambda call=call, module=module: call(module))
    return results


# ---- formulas --------------------------------------------------------------------------------------------------------
def root(dimensions: int, rows: int) -> dict:
    """FID from two pairs of mean and covariance: symmetric eigen-decompositions against general matrix roots."""
    real, fake = (
        metrics.Moments().update(features(seed, rows, dimensions, shift)) for seed, shift in ((1, 0), (2, 0.1))
    )
    first, second = ({"mu": m.mean, "sigma": m.covariance} for m in (real, fake))

    def scipy(linalg):
        shift = first["mu"] - second["mu"]
        trace = np.trace(linalg.sqrtm(first["sigma"] @ second["sigma"]).real)
        return shift @ shift + np.trace(first["sigma"]) + np.trace(second["sigma"]) - 2 * trace

    return compared(
        {
            "ganzoo": (None, lambda _: metrics.frechet_distance(real, fake)),
            "scipy.linalg.sqrtm": ("scipy.linalg", scipy),
            "clean-fid": ("cleanfid.fid", lambda m: m.frechet_distance(*first.values(), *second.values())),
            "torch-fidelity": (
                "torch_fidelity.metric_fid",
                lambda m: m.fid_statistics_to_metric(first, second, False)[m.KEY_METRIC_FID],
            ),
        }
    )


def kid(dimensions: int, rows: int) -> dict:
    """KID of 100 subsets of 1,000 (the same draws as torch-fidelity's), and of all rows."""
    real, fake = features(1, rows, dimensions), features(2, rows, dimensions, 0.1)
    size = min(SUBSET_SIZE, rows)

    def torch_fidelity(module):
        torch = importlib.import_module("torch")
        tensors = torch.from_numpy(real), torch.from_numpy(fake)
        options = {"kid_subsets": SUBSETS, "kid_subset_size": size, "rng_seed": SEED, "verbose": False}
        found = module.kid_features_to_metric(*tensors, **options)
        return found[module.KEY_METRIC_KID_MEAN], found[module.KEY_METRIC_KID_STD]

    def clean_fid(module):
        np.random.seed(SEED)  # it draws from the global state, other subsets than torch-fidelity
        return module.kernel_distance(real, fake, num_subsets=SUBSETS, max_subset_size=size)

    ours = {"subsets": SUBSETS, "subset_size": size, "seed": SEED}
    return compared(
        {
            "ganzoo": (None, lambda _: metrics.kernel_distance(real, fake, **ours)),
            "ganzoo, all rows": (None, lambda _: metrics.kernel_distance(real, fake)),
            "torch-fidelity": ("torch_fidelity.metric_kid", torch_fidelity),
            "clean-fid": ("cleanfid.fid", clean_fid),
        }
    )


def neighbours(dimensions: int, rows: int) -> dict:
    """Precision and recall (and density and coverage, which the other does not have)."""
    real, fake = features(1, rows, dimensions), features(2, rows, dimensions, 0.1)

    def torch_fidelity(module):
        torch = importlib.import_module("torch")
        tensors = torch.from_numpy(fake), torch.from_numpy(real)  # generated first
        found = module.prc_features_to_metric(*tensors, prc_neighborhood=NEIGHBOURS, verbose=False)
        return found[module.KEY_METRIC_PRECISION], found[module.KEY_METRIC_RECALL]

    return compared(
        {
            "ganzoo": (None, lambda _: metrics.precision_recall(real, fake, NEIGHBOURS)),
            "ganzoo, density and coverage": (None, lambda _: metrics.density_coverage(real, fake, NEIGHBOURS)),
            "torch-fidelity": ("torch_fidelity.metric_prc", torch_fidelity),
        }
    )


# ---- memory ----------------------------------------------------------------------------------------------------------
def batches(dimensions: int, rows: int):
    """A stream of made-up features that holds one batch."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, BATCH):
        yield rng.standard_normal((min(BATCH, rows - start), dimensions), np.float32)


def moments(dimensions: int, rows: int) -> dict:
    """Mean and covariance of a stream of features: MiB that the process grew by."""
    before, start = timing.peak_mib(), time.perf_counter()
    found = metrics.Moments()
    for batch in batches(dimensions, rows):
        found.update(batch)
    trace = float(np.trace(found.covariance))
    return _grown(before, start, trace)


def matrix(dimensions: int, rows: int) -> dict:
    """The usual way: all features in one float32 matrix, then numpy.mean and numpy.cov."""
    before, start = timing.peak_mib(), time.perf_counter()
    rows_ = np.concatenate(list(batches(dimensions, rows)))
    rows_.mean(axis=0)
    trace = float(np.trace(np.cov(rows_, rowvar=False)))
    return _grown(before, start, trace)


def _grown(before: float, start: float, trace: float) -> dict:
    seconds = round(time.perf_counter() - start, 1)
    return {"mib": round(timing.peak_mib() - before, 1), "seconds": seconds, "trace": trace}


# ---- loader ----------------------------------------------------------------------------------------------------------
def loader(extractor: str, pictures: int, size: int, rounds: int) -> dict:
    """Pictures a second of an extractor from an array in memory, and from a folder of PNG files, in turns."""
    from ganzoo.data.sources.opening import open_records
    from ganzoo.data.task_shapes import task_shape
    from ganzoo.evaluation.pictures import of_records
    from ganzoo.media import images
    from ganzoo.metrics import features as extractors

    network = extractors.extractor(extractor)
    coarse = np.random.default_rng(0).integers(0, 256, (pictures, size // 8, size // 8, 3), np.uint8)
    array = coarse.repeat(8, axis=1).repeat(8, axis=2)
    fitted = images.fit_image(array[0], network.size)  # the bare side needs no resize: its pictures have the net's size
    bare = np.broadcast_to(fitted, (pictures, *fitted.shape))
    with tempfile.TemporaryDirectory() as folder:
        for i, picture in enumerate(array):
            images.write_png(Path(folder) / f"{i:05}.png", picture)
        network.features(bare[:32])
        seconds = {"memory": [], "folder": []}
        for turn in range(rounds):
            for side in ("memory", "folder") if turn % 2 == 0 else ("folder", "memory"):
                start = time.perf_counter()
                # Opening the folder and decoding belong to the folder's side.
                source = (
                    of_records(open_records(folder, "all", task_shape("images")), None) if side == "folder" else bare
                )
                network.features(source)
                seconds[side].append(time.perf_counter() - start)
    memory, folder = (min(seconds[side]) for side in ("memory", "folder"))
    return {
        "extractor": network.tag,
        "memory_per_s": round(pictures / memory, 1),
        "folder_per_s": round(pictures / folder, 1),
        "overhead": round(folder / memory - 1, 4),
        "rounds": {side: [round(s, 2) for s in times] for side, times in seconds.items()},
    }


KINDS = {f.__name__: f for f in (root, kid, neighbours, moments, matrix, loader)}

if __name__ == "__main__":
    print(json.dumps(KINDS[sys.argv[1]](**json.loads(sys.argv[2]))))
