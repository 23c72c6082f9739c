"""The harness, second half: what a registered model computes. Losses, arguments, ranges and updates, whatever the paper."""

import collections
import re

import numpy as np
import pytest
import tensorflow as tf
import tiny
from support.steps import Replay, Watch, heard

from ganzoo import presets, registry
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
# And in the variants that give D another number of updates in a step.
UPDATES = [
    (name, more)
    for name in NAMES
    for more in ({}, *tiny.VARIANTS.get(name, []))
    if not more or any(re.search(r"_(steps|critic)$", key) for key in more)
]
INTERVALS = [(name, argument) for name, argument in ARGUMENTS if argument.endswith("_interval")]
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
        loss = step.loss(number)
        assert loss == step.loss(number), (
            f"{player}: the same step has another loss when it is run again. Draw its noise by self.noise, which depends on "
            "the step alone, and keep in training_state() what it changes besides the weights."
        )
        assert step.slope(number, loss) == pytest.approx(1, abs=0.05), (
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
            assert not step.unmoved(number), "what D is shown in G's update does not depend on G: is it a constant?"


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
        for network in {judged.network for judged, _ in pairs}:
            own = [(judged.slope, fake) for judged, fake in pairs if judged.network == network]
            fakes, others = (np.concatenate([slope[fake == side] for slope, fake in own]) for side in (True, False))
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


# ---- options of a run ------------------------------------------------------------------------------------------------
OPTIONS = {
    "augment": {"augment": "color"},
    "ada_target": {"augment": "color", "ada_target": 0.5},
    "instance_noise": {"instance_noise": 0.5, "instance_noise_steps": 10},
    "label_smoothing": {"label_smoothing": 0.2},
    "relativistic": {"relativistic": True},
    "r1_gamma": {"r1_gamma": 1.0},
    "r2_gamma": {"r2_gamma": 1.0},
    "ema_images": {"ema_images": 10},
    "d_steps": {"d_steps": 2},
}
STEADIED = [(name, more) for name in NAMES for more in ({}, tiny.TAKES_ALL.get(name)) if more is not None]


@pytest.fixture
def steadied(monkeypatch):
    """name, more -> function of options to the losses that the players of the tiny model are given in its first step under
    them, the values of R1 and R2 in it, and what these were of."""

    def of(name, more):
        model = tiny.build(name, optimizer=tiny.SGD, **more)
        model.weights_source = "a file"  # nobody teaches a helper
        for variable in model.trainable_variables:
            variable.assign(variable.value * tiny.WIDER.get(name, 1))
        batch, start = tiny.batch(model), {key: np.array(value) for key, value in model.training_state().items()}
        given, penalised = collections.defaultdict(list), collections.defaultdict(list)

        def minimize(self, tape, loss, player, turn=0):
            given[player].append(float(loss))

        def spied(penalty, real):
            def spy(self, critic, images):
                value = real(self, critic, images)
                penalised[penalty].append((float(value), np.array(images)))
                return value

            return spy

        def step(**options):
            for key in ("stability", "shows_by", "logs"):
                vars(model).pop(key, None)
            given.clear()
            penalised.clear()
            model.stabilise(presets.StabilityConfig(**options), tiny.BATCH)
            state = model.training_state()
            for key, value in start.items():
                state[key].assign(value)
            if options.get("ada_target"):
                state["augment_p"].assign(1.0)
            logs = model.train_step(batch)
            assert ("augment_p" in logs) == ("ada_target" in options), "ADA's p is logged by `self.judged`"
            return dict(given), dict(penalised)

        kind = type(model)
        monkeypatch.setattr(kind, "minimize", minimize)
        for penalty in ("r1", "r2"):
            monkeypatch.setattr(kind, penalty, spied(penalty, getattr(kind, penalty)))
        return model, step

    return of


@pytest.mark.parametrize(("name", "more"), STEADIED)
def test_options_that_steady_a_training_reach_both_players(name, more, steadied):
    """[train.stability]: each changes the losses that it is of, at the same weights; or the paper says why not. What they
    compute is tested by hand in tests/base/test_stability.py."""
    model, step = steadied(name, more)
    refused = set(model.refuses) | ({"augment", "ada_target"} if model.augments_by else set())
    refused |= {"ema_images"} if model.averages_by else set()
    for option in refused:
        with pytest.raises(GanzooError, match=rf"{name} does not take train\.stability\.{option}: it .+ Leave it out"):
            model.stabilise(presets.StabilityConfig.model_construct(**{option: OPTIONS[option][option]}), tiny.BATCH)
    plain, _ = step()
    reach = "show D pictures by self.for_d, make losses by self.d_loss and self.g_loss, or say in `refuses` why not"

    def taken(*options):
        return {key: value for o in options if o not in refused for key, value in OPTIONS[o].items()}

    for options in (taken("instance_noise", "ema_images"), taken("augment", "ada_target"), taken("relativistic")):
        if options:
            losses, _ = step(**options)
            for player in ("d_optimizer", "g_optimizer"):
                assert losses[player] != plain[player], f"{options} do not reach the loss of {player}: {reach}"
    for options in (taken("label_smoothing"), taken("r1_gamma", "r2_gamma")):
        if not options:
            continue
        losses, penalised = step(**options)
        assert losses["g_optimizer"] == pytest.approx(plain["g_optimizer"], rel=1e-5), f"{options} are of D alone"
        values = {name: [value for value, _ in seen] for name, seen in penalised.items()}
        above = {f"{name}_gamma" for name, seen in values.items() if min(seen) > 0}
        assert above == set(options) - {"label_smoothing"}, (
            "L_D contains self.r1(critic, real) and self.r2(critic, fake)"
        )
        (loss,) = losses["d_optimizer"]
        rest = loss - plain["d_optimizer"][0] - sum(sum(seen) for seen in values.values())
        far = abs(rest) > 1e-6 * max(1.0, abs(loss))  # rounding is of the sum
        assert far == ("label_smoothing" in options), f"{rest}: is all of {options} in D's loss?"
        reals = [np.array(x) for x in model.unpack(tiny.batch(model))] + [real for _, real in penalised.get("r1", [])]
        for _, fake in penalised.get("r2", []):
            assert not any(np.array_equal(real, fake) for real in reals), "R1 is of reals and R2 of fakes"


@pytest.mark.parametrize(("name", "more"), STEADIED)
def test_d_sees_a_picture_through_for_d_alone(name, more, monkeypatch):
    """Where `for_d` gives the same for every picture, D says the same of any batch: nothing reaches it as it is."""
    model = tiny.build(name, optimizer=tiny.SGD, **more)
    model.weights_source = "a file"  # nobody teaches a helper
    taken = {"relativistic": True, "r1_gamma": 1.0, "r2_gamma": 1.0}  # these ask D for more
    model.stabilise(presets.StabilityConfig(**{o: v for o, v in taken.items() if o not in model.refuses}), tiny.BATCH)
    start = {key: np.array(value) for key, value in model.training_state().items()}

    def blind(self, *pictures, turn=0, low=-1.0):
        seen = [0.0 * picture for picture in pictures]
        return seen if len(seen) > 1 else seen[0]

    monkeypatch.setattr(type(model), "for_d", blind)
    monkeypatch.setattr(type(model), "minimize", lambda *given: None)
    said = heard(model, monkeypatch)

    def answers(batch):
        said.clear()
        for key, variable in model.training_state().items():
            variable.assign(start[key])
        model.train_step(batch)
        return [answer.numpy() for _, answer in said]

    one, other = tiny.batch(model), tiny.batch(model, seed=1)
    pictures = {key: value for key, value in other.items() if len(value.shape) > 3}
    assert pictures, "the batch has no pictures"
    for answer, again in zip(answers(one), answers(one | pictures), strict=True):
        np.testing.assert_array_equal(answer, again, "D was shown a picture as it is: self.for_d(picture)")


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
    """A second value of it changes shapes, updates or logs: twice a whole number or the weight of a term (at a default of 0 a
    log would be missing, which says nothing of the loss), else its default. The first value is the one that tiny.py gives it;
    where a second one needs other arguments, tiny.SECOND says so."""
    default = registry.models()[name].defaults()[argument]
    settings = [{}, *tiny.VARIANTS.get(name, [])]
    more = next(more for more in settings if (tiny.TINY[name] | more).get(argument, default) != default)
    value = (tiny.TINY[name] | more)[argument]
    doubled = type(value) is int or argument.endswith(("_weight", "_gamma"))
    other = 2 * value if doubled and value else default
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


@pytest.mark.parametrize(("name", "argument"), INTERVALS)
def test_what_is_taken_at_intervals_is_so_many_times_as_strong(name, argument, first):
    """At step 0, where it is taken: from an interval of 1 to 2 to 3, the first gradient grows by the same twice."""
    one, two, three = (first(name, {argument: every, "ema_decay": 0.0})[1](0) for every in (1, 2, 3))
    growth = 0.0
    for key in (key for key in one if key.startswith("0/")):
        largest = np.abs(three[key]).max(initial=0)
        np.testing.assert_allclose(three[key] - two[key], two[key] - one[key], rtol=1e-3, atol=1e-5 * largest)
        growth = max(growth, np.abs(two[key] - one[key]).max(initial=0) / (largest or 1))
    assert growth > 1e-3, f"{argument} does not weigh what it thins out"


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
    made_by_g = np.ptp(wide, axis=0) > 0  # not what was there around a hole
    start, wide = start[made_by_g], wide[:, made_by_g]
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


@pytest.mark.parametrize(("name", "more"), UPDATES)
def test_every_update_arrives_under_its_number(name, more):
    """In micro-batches each update waits under (player, turn): two of one number would be one."""
    model = tiny.build(name, optimizer=tiny.SGD, **more)
    if model.why_not_accumulate():
        with pytest.raises(GanzooError, match="cannot train in micro-batches"):
            accumulation.in_parts(model, 1)
        return
    logs = accumulation.in_parts(model, 1)(tiny.batch(model))
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert model.step.numpy() == 1
