"""Is a run healthy? Rules that turn its logged rows into sentences. Plain rows in, so a finished log can be read too.

| kind | since when | what the rule reads |
|---|---|---|
| `d_wins`, `g_wins` | a mean over 1,000 steps, the first 500 left out | `fooled` below 2.5 % or above 90 % |
| `logits`, `growing` | three rows in a row | mean logits beyond +-50; a loss beyond 20 times its first median |
| `not_finite` | one row | any value |
| `alike` | three measurements in a row | pairwise distance of the samples, below half of the real pictures' |
| `narrow` | three measurements in a row | coverage of a small reference, below half of the best of this run |

The bounds were set on the logs of the shipped runs: the healthy ones stay well inside, and dcgan/lorelei-64, whose D
wins from the start, well outside. A state ends only where a second bound is crossed, so that noise does not repeat it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WARM_UP = 500  # steps in which every D wins and every G makes one picture
SAMPLES_WARM_UP = 1000  # steps until a G makes more than the mean picture
WINDOW = 1000  # steps over which `fooled` is averaged
IN_A_ROW = 3
D_WINS, D_WINS_NO_MORE = 0.025, 0.05
G_WINS, G_WINS_NO_MORE = 0.9, 0.8
LOGIT_BOUND = 50.0  # a sigmoid's gradient is exp(-50) there
LOSS_GROWTH = 20.0
ALIKE, ALIKE_NO_MORE = 0.5, 0.6
NARROW, NARROW_NO_MORE = 0.5, 0.75


@dataclass(frozen=True)
class Finding:
    """What is wrong: its `kind`, the step since when, the step `until` when (None: still), and a sentence to show."""

    kind: str
    since: int
    until: int | None
    text: str


def findings(log_rows: Sequence[dict], health_rows: Sequence[dict] = ()) -> list[Finding]:
    """Everything that went wrong, by step.

    Args:
        log_rows: rows of `log.jsonl`, by rising step: `step`, `*_loss`, `fooled`, `real_logit`, `fake_logit`. Missing
            keys are no finding.
        health_rows: rows of `health.jsonl`: `step`, `diversity`, `coverage`.
    """
    found = [*_balance(log_rows), *_logits(log_rows), *_losses(log_rows), *_not_finite(log_rows)]
    found += [*_alike(health_rows), *_narrow(health_rows)]
    return sorted(found, key=lambda finding: (finding.since, finding.kind))


def _balance(rows) -> list[Finding]:
    steps, fooled = _series(rows, "fooled")
    steps, fooled = steps[steps > WARM_UP], fooled[steps > WARM_UP]
    total = np.concatenate([[0.0], np.cumsum(fooled)])
    first = np.searchsorted(steps, steps - WINDOW, side="right")  # of the window that ends at each row
    counts = np.arange(len(steps)) + 1 - first
    means = (total[1:] - total[first]) / counts
    # The first windows are shorter than the rule asks for.
    full = (steps - WINDOW >= WARM_UP) & (counts >= 5)
    first, ends, means = first[full], steps[full], means[full]
    begins = steps[first]
    return [
        *_found(
            ("d_wins", "D wins", "D won"),
            (means < D_WINS, means > D_WINS_NO_MORE, 1),
            ends,
            lambda r: f"it took {float(means[r].mean()):.1%} of the fakes for real, and G learns from weak gradients",
            "Lower its learning rate (train.d_optimizer.learning_rate).",
            begins,
        ),
        *_found(
            ("g_wins", "D is fooled", "D was fooled"),
            (means > G_WINS, means < G_WINS_NO_MORE, 1),
            ends,
            lambda r: f"it took {float(means[r].mean()):.0%} of the fakes for real, and has nothing to teach",
            "Raise its learning rate (train.d_optimizer.learning_rate) or its width.",
            begins,
        ),
    ]


def _logits(rows) -> list[Finding]:
    found = []
    for key, what in (("real_logit", "real pictures"), ("fake_logit", "fakes")):
        steps, values = _series(rows, key)
        size = np.abs(values)
        found += _found(
            ("logits", f"D's logits on {what} are out of bounds", f"D's logits on {what} were out of bounds"),
            (size > LOGIT_BOUND, size < LOGIT_BOUND / 2, IN_A_ROW),
            steps,
            lambda r, v=values: f"their mean reached {v[r][np.abs(v[r]).argmax()]:.0f}, where a sigmoid is flat",
            "Lower train.d_optimizer.learning_rate.",
        )
    return found


def _losses(rows) -> list[Finding]:
    found = []
    for key in [key for key in dict.fromkeys(k for row in rows for k in row) if key.endswith("_loss")]:
        steps, values = _series(rows, key)
        steps, size = steps[steps > WARM_UP], np.abs(values[steps > WARM_UP])
        if len(size) < 10:
            continue
        # Fixed once the warm-up is over, so that a finding keeps its step; at least 1, the scale of a GAN's loss.
        usual = max(float(np.median(size[:10])), 1.0)
        found += _found(
            ("growing", f"{key} is out of bounds", f"{key} was out of bounds"),
            (size > LOSS_GROWTH * usual, size < LOSS_GROWTH * usual / 2, IN_A_ROW),
            steps,
            lambda r, v=size / usual: f"it reached {v[r].max():.0f} times its usual size, and NaN may be next",
            "Lower the learning rates (train.g_optimizer.learning_rate, train.d_optimizer.learning_rate).",
        )
    return found


def _not_finite(rows) -> list[Finding]:
    for row in rows:
        bad = [k for k, v in row.items() if isinstance(v, float) and not math.isfinite(v)]
        if bad:
            text = (
                f"{bad[0]} is not finite at step {row['step']:,}. Start a new run with lower learning rates "
                "(train.g_optimizer.learning_rate, train.d_optimizer.learning_rate)."
            )
            return [Finding("not_finite", int(row["step"]), None, text)]
    return []


def _alike(rows) -> list[Finding]:
    steps, values = _series([row for row in rows if row["step"] > SAMPLES_WARM_UP], "diversity")
    return _found(
        ("alike", "The samples are alike", "The samples were alike"),
        (values < ALIKE, values > ALIKE_NO_MORE, IN_A_ROW),
        steps,
        lambda r: f"their mean distance was {float(values[r].mean()):.0%} of the real pictures'",
        "G may be collapsing: lower train.g_optimizer.learning_rate, or raise train.batch_size.",
    )


def _narrow(rows) -> list[Finding]:
    steps, values = _series([row for row in rows if row["step"] > SAMPLES_WARM_UP], "coverage")
    best = np.maximum.accumulate(values) if len(values) else values

    def covered(r):
        return (
            f"they covered {float(values[r].mean()):.0%} of a small reference, {float(best[r.start]):.0%} at their best"
        )

    return _found(
        ("narrow", "The samples show fewer kinds of pictures", "The samples showed fewer kinds of pictures"),
        (values < NARROW * best, values > NARROW_NO_MORE * best, IN_A_ROW),
        steps,
        covered,
        "G may be collapsing: lower train.g_optimizer.learning_rate, or go back to an earlier checkpoint.",
    )


def _found(names, rule, steps, why, advice, begins=None) -> list[Finding]:
    """A finding for each episode.

    Args:
        names: its kind, and what to say of one that lasts and of one that is over.
        rule: as in `_episodes`.
        steps: of the rows, at which an episode ends, and begins unless there are `begins`.
        why: a sentence on the rows of an episode, a slice.
        advice: a sentence on what to do while it lasts.
    """
    kind, now, past = names
    found, begins = [], steps if begins is None else begins
    for first, end, rows_of in _episodes(*rule):
        since, seen = int(begins[first]), why(rows_of)
        if end is None:
            found.append(Finding(kind, since, None, f"{now} since step {since:,}: {seen}. {advice}"))
        else:
            until = int(steps[end])
            found.append(Finding(kind, since, until, f"{past} from step {since:,} to {until:,}: {seen}."))
    return found


def _episodes(enter: np.ndarray, leave: np.ndarray, in_a_row: int) -> list[tuple[int, int | None, slice]]:
    """(first row, row that ends it or None, rows of it) of every stretch: `in_a_row` rows that enter, to one that leaves."""
    found: list[tuple[int, int | None, slice]] = []
    streak, start = 0, None
    for i in range(len(enter)):
        if start is not None:
            if leave[i]:
                found.append((start, i, slice(start, i)))
                start, streak = None, 0
            continue
        streak = streak + 1 if enter[i] else 0
        if streak == in_a_row:
            start = i - in_a_row + 1
    if start is not None:
        found.append((start, None, slice(start, len(enter))))
    return found


def _series(rows, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the rows where `key` is a finite number."""
    have = [r for r in rows if isinstance(r.get(key), int | float) and math.isfinite(r[key])]
    return np.array([r["step"] for r in have], float), np.array([r[key] for r in have], float)
