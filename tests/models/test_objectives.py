"""The harness, second half: what a registered model computes. Losses, arguments, ranges and updates, whatever the paper."""

import collections
import re

import numpy as np
import pytest
import tensorflow as tf
import tiny
from support.steps import Replay, Watch

from ganzoo import registry
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError
from ganzoo.training import accumulation

NAMES = list(registry.models())
ARGUMENTS = [
    (name, key)
    for name in NAMES
    for key in registry.models()[name].defaults()
    if key not in tiny.ELSEWHERE.get(name, {})
]
# Every paper, and again in the variants of tiny.py that set weights of terms: some have terms of their own.
TERMS = [
    (name, more)
    for name in NAMES
    for more in ({}, *tiny.VARIANTS.get(name, []))
    if not more or any(value and re.search(r"_(weight|gamma)$", key) for key, value in more.items())
]
STEPS = 4  # after which an argument has shown what it does


@pytest.fixture(scope="module")
def replay():
    """name, more arguments -> the Replay of the first step of the tiny model."""
    seen = {}

    def of(name, **more):
        key = (name, repr(more))
        if key not in seen:
            model = tiny.build(name, **more)
            for variable in model.trainable_variables:
                variable.assign(variable.value * tiny.WIDER.get(name, 1))
            seen[key] = Replay(model, tiny.batch(model))
        return seen[key]

    return of


# ---- losses ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "more"), TERMS)
def test_every_update_lowers_the_loss_that_it_was_given(name, more, replay):
    """Measured on the same batch with the same noise: a short step along the gradient changes the loss as it should."""
    step = replay(name, **more)
    for number, player in enumerate(step.players):
        loss = step.at(number)[0]
        assert loss == step.at(number)[0], (
            f"{player}: the same step has another loss when it is run again. Draw its noise by self.noise, which depends on "
            "the step alone, and keep in training_state() what it changes besides the weights."
        )
        assert step.slope(number) == pytest.approx(1, abs=0.05), (
            f"{player}: its gradient is not that of the loss handed to minimize. A term is cut off by tf.stop_gradient, made "
            "outside of the tape, or changed in sign; or the initial weights are so small that rounding hides it (tiny.WIDER)."
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_s_loss_falls_where_its_samples_are_taken_for_real(name, replay):
    step = replay(name)
    assert "g_optimizer" in step.players
    for number, player in enumerate(step.players):
        if player == "g_optimizer":
            slopes = [float(judged.slope.sum()) for judged in step.at(number)[1] if judged.slope is not None]
            assert slopes, "G's loss does not depend on what D says of its samples, or was made outside of G's tape"
            assert max(slopes) < 0, f"the sign of G's loss: it rises where D's logits of fakes do ({slopes})"


@pytest.mark.parametrize("name", NAMES)
def test_the_discriminator_s_loss_tells_real_from_fake(name, replay):
    """Fakes are the logits that change with G's weights. The logged means are those of these logits."""
    step = replay(name)
    assert "d_optimizer" in step.players
    for number, player in enumerate(step.players):
        if player != "d_optimizer":
            continue
        calls = zip(step.at(number)[1], step.at(number, step.shaken("g_optimizer"))[1], strict=True)
        pairs = [(judged, judged.logits != other.logits) for judged, other in calls if judged.slope is not None]
        fakes = np.concatenate([judged.slope[fake] for judged, fake in pairs])
        others = np.concatenate([judged.slope[~fake] for judged, fake in pairs])
        assert len(fakes), "D sees no fake, or its loss does not depend on one"
        assert len(others), "D sees nothing real"
        assert others.sum() < 0, "the sign of D's loss: it rises where D's logits of real samples do"
        assert others.sum() < fakes.sum(), "D's loss does not tell fakes from real samples"
    logs, slopes = (
        step.watch.logs,
        [(judged.logits[fake], judged.logits[~fake & (judged.slope <= 0)]) for judged, fake in pairs],
    )
    for key, logits in zip(("fake_logit", "real_logit"), map(np.concatenate, zip(*slopes, strict=True)), strict=True):
        if key in logs:
            assert logs[key] == pytest.approx(logits.mean(), rel=1e-4, abs=1e-6), (
                f"{key} is not of {key.split('_')[0]}s"
            )


# ---- arguments -------------------------------------------------------------------------------------------------------
def shapes(model):
    """Of the weights and all other state, and of what the model trains on."""
    state = {key: tuple(variable.shape) for key, variable in model.training_state().items()}
    return state | {key: tuple(spec.shape) for key, spec in tiny.signature(model).items()}


def effects(model, step):
    """What a step logs, the gradients of its updates in their order, and the state after it."""
    watch = Watch(model, tiny.batch(model, seed=step))
    found = dict(watch.logs)
    for number, (player, *_, gradients) in enumerate(watch.updates):
        found |= {f"{number}/{player}/{key}": np.array(g) for key, g in gradients.items() if g is not None}
    return found | {key: np.array(variable) for key, variable in model.training_state().items()}


def differ(one, two):
    def far(a, b):
        return np.abs(a - b).max(initial=0) > 1e-4 * np.abs(a).max(initial=0)

    return one.keys() != two.keys() or any(far(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def first():
    """name, more -> (shapes of the tiny model, function of a step to the effects of that step of it)."""
    seen = {}

    def of(name, more):
        key = (name, repr(more))
        if key not in seen:
            model, steps = tiny.build(name, optimizer=tiny.SGD, **more), []

            def effects_of(step):
                while len(steps) <= step:
                    steps.append(effects(model, len(steps)))
                return steps[step]

            seen[key] = shapes(model), effects_of
        return seen[key]

    return of


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_every_argument_of_the_constructor_counts(name, argument, first):
    """A second value of it changes shapes, updates or logs: twice a whole number, else its default. The first value is the
    one that tiny.py gives it; where a second one needs other arguments, tiny.SECOND says so."""
    default = registry.models()[name].defaults()[argument]
    settings = [{}, *tiny.VARIANTS.get(name, [])]
    more = next(more for more in settings if (tiny.TINY[name] | more).get(argument, default) != default)
    value = (tiny.TINY[name] | more)[argument]
    other = 2 * value if type(value) is int and value else default
    more, other = tiny.SECOND.get(name, {}).get(argument, (more, other))
    if argument != "ema_decay":  # the averages are the slow half of a step
        more = more | {"ema_decay": 0.0}
    moved = tiny.build(name, optimizer=tiny.SGD, **more | {argument: other})
    kept, effects_of = first(name, more)
    if shapes(moved) == kept:
        assert any(differ(effects_of(step), effects(moved, step)) for step in range(STEPS)), (
            f"{argument} = {other!r} gives the shapes, updates and logs of {value!r}: the constructor or train_step does not "
            "use it. If it shows only together with other arguments, name them in tiny.SECOND."
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_give_the_same_step(name, first):
    """Without which the test above would say nothing."""
    more = {"ema_decay": 0.0}
    again = tiny.build(name, optimizer=tiny.SGD, **more)
    kept, effects_of = first(name, more)
    assert shapes(again) == kept
    assert not differ(effects_of(0), effects(again, 0)), "a step draws noise that self.noise does not give"


# ---- updates ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_players_move_in_the_order_of_the_rounds(name, replay):
    """Micro-batches are worked off by `rounds`: a step of the whole batch has the same order."""
    step = replay(name)
    assert collections.Counter(step.players) == step.model.updates, (
        "`updates` says how often each player moves in a step"
    )
    place = {player: number for number, players in enumerate(step.model.rounds) for player in players}
    order = [place[player] for player in step.players]
    assert order == sorted(order) or step.model.why_not_accumulate(), (
        f"rounds = {step.model.rounds}, but {step.players}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_second_minimize_of_an_update_is_refused_in_micro_batches(name, monkeypatch):
    model, minimize = tiny.build(name), BaseGAN.minimize

    def twice(self, *given):
        minimize(self, *given)
        minimize(self, *given)

    monkeypatch.setattr(BaseGAN, "minimize", twice)
    turns = [(player, turn) for player, count in model.updates.items() for turn in range(count)]
    model.part = accumulation.Part(1, 0, turns)
    with pytest.raises(GanzooError, match="would be lost"):
        model.train_step(tiny.batch(model))


@pytest.mark.parametrize("name", NAMES)
def test_all_weights_train_but_statistics_and_averages(name):
    fixed = rf"/moving_(mean|variance)$|^ema_|({tiny.FIXED.get(name, '^$')})$"
    for more in ({}, *tiny.VARIANTS.get(name, [])):
        state = tiny.build(name, **more).state()
        kept = {key for key, variable in state.items() if not (variable.trainable or re.search(fixed, key))}
        assert not kept, f"frozen with {more}: {sorted(kept)}. What is not a weight at all is named in tiny.FIXED"


# ---- ranges ----------------------------------------------------------------------------------------------------------
def samples(model):
    """(name, float32 samples) of the endpoint `tensors` on four rows of random numbers."""
    function, specs = model.serving_signature()["tensors"]
    rng, side = np.random.default_rng(0), tiny.SIZES.get(model.paper, 16)
    inputs = {}
    for key, spec in specs.items():
        shape = [4, *(side if n is None else n for n in spec.shape[1:])]
        numbers = rng.uniform(-1, 1, shape) if spec.dtype.is_floating else rng.integers(0, 2, shape)
        inputs[key] = tf.constant(numbers, spec.dtype)
    ((kind, made),) = function(**inputs).items()
    return kind, made.numpy()


@pytest.mark.parametrize("name", NAMES)
def test_samples_fill_their_range_and_no_more(name):
    """Pictures are in [-1, 1] and shapes in [0, 1], at the start well inside, and with wide weights on both sides of the
    middle."""
    model = tiny.build(name)
    kind, start = samples(model)
    drawn = []
    for draw in range(3):  # of normalised weights one draw may have all its pictures on one side of a bias
        for variable in model.sampler.weights:
            if "/moving_" not in variable.path:
                variable.assign(np.random.default_rng(len(variable.path) + 1000 * draw).normal(size=variable.shape))
        drawn.append(samples(model)[1])
    wide = np.stack(drawn)
    assert kind == {"pictures": "images", "voxels": "voxels"}[model.makes]
    low = {"images": -1.0, "voxels": 0.0}[kind]
    middle, reach = (low + 1) / 2, (1 - low) / 2
    for made in (start, wide):
        assert low <= made.min(), f"{kind} below {low}: what does G end in?"
        assert made.max() <= 1, f"{kind} above 1: what does G end in?"
    assert np.mean(np.abs(start - middle) > 0.99 * reach) < 0.5, "G is saturated before it has learnt anything"
    assert wide.min() < middle - 0.2 * reach, f"{kind} never leave the upper half of their range: what does G end in?"
    assert wide.max() > middle + 0.2 * reach, f"{kind} never leave the lower half of their range: what does G end in?"


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_bytes_is_the_batch_of_its_floats(name):
    """uint8 pictures and bool grids, as `fit` takes them (`unpack`); of the first settings that take pictures."""
    for more in ({}, *tiny.VARIANTS.get(name, [])):
        model = tiny.build(name, **more)
        if any(len(spec.shape) == 4 for spec in model.batch_signature().values()):
            break
    rng, stored, floats = np.random.default_rng(0), dict(tiny.batch(model)), dict(tiny.batch(model))
    for key, value in stored.items():
        if len(value.shape) == 4:
            stored[key] = tf.constant(rng.integers(0, 256, value.shape, np.uint8))
            floats[key] = tf.cast(stored[key], tf.float32) / 127.5 - 1
        elif len(value.shape) == 5:
            stored[key] = tf.constant(rng.integers(0, 2, value.shape).astype(bool))
            floats[key] = tf.cast(stored[key], tf.float32)
    assert any(stored[key] is not floats[key] for key in stored)
    logs, expected = Watch(model, stored).logs, Watch(tiny.build(name, **more), floats).logs
    assert logs == pytest.approx(expected, rel=1e-5), "what does train_step read of the batch besides self.unpack?"


@pytest.mark.parametrize("name", NAMES)
def test_every_update_arrives_under_its_number(name):
    """In micro-batches each update waits under (player, turn): two of one number would be one."""
    model = tiny.build(name, optimizer=tiny.SGD)
    if model.why_not_accumulate():
        with pytest.raises(GanzooError, match="cannot train in micro-batches"):
            accumulation.in_parts(model, 1)
        return
    logs = accumulation.in_parts(model, 1)(tiny.batch(model))
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert model.step.numpy() == 1
