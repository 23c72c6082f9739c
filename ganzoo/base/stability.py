"""Stability: options of a run, `[train.stability]`, that steady an adversarial training, for every paper that they fit.

None of them is of the paper, and without them each function here gives back what it was given: a paper's step is written with
them and computes what the paper says. docs/training.md has the options with their formulas and sources.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from ganzoo import losses, penalties
from ganzoo.augment import Augmenter
from ganzoo.errors import GanzooError
from ganzoo.presets import StabilityConfig


class Stability:
    """The part of `BaseGAN` through which D sees pictures and both players get their losses."""

    stability: StabilityConfig = StabilityConfig()
    images_a_step: int = 0  # of the run: what `ema_images` and `ema_rampup` are counted by
    shows_by: Augmenter | None = None

    if TYPE_CHECKING:  # of `BaseGAN`
        paper: str
        refuses: Mapping[str, str]
        augments_by: str
        averages_by: str
        ema_decay: float
        logs: tuple[str, ...]
        trackers: dict[str, keras.metrics.Mean]
        step: keras.Variable

        def noise(self, draw: Any, stream: str, rows: Any, shape: Any = ()) -> tf.Tensor: ...

    def stabilise(self, options: StabilityConfig, images_a_step: int) -> None:
        """Takes the options of a run, before `compile`.

        Raises:
            GanzooError: an option that means nothing to this paper, or that it has by another name; the sentence says why.
        """
        refused = dict(self.refuses)
        if self.augments_by:
            refused |= dict.fromkeys(("augment", "ada_target"), f"has it as model.{self.augments_by}")
        if self.averages_by:
            refused |= dict.fromkeys(("ema_images", "ema_rampup"), f"has it as model.{self.averages_by}")
        for option in options.model_dump(exclude_defaults=True):
            if option in refused:
                raise GanzooError(
                    f"{self.paper} does not take train.stability.{option}: it {refused[option]}. Leave it out."
                )
        if options.ema_images and not self.ema_decay:
            raise GanzooError(
                "train.stability.ema_images says how the averaged generator is made, and this model has none: set "
                "model.ema_decay above 0, for example 0.999 (its value is not used then)."
            )
        self.stability, self.images_a_step = options, images_a_step
        if options.augment:
            self.shows_by = Augmenter(options.augment, options.ada_target, options.ada_images)
        if options.ada_target:
            self.logs = (*self.logs, "augment_p")
            self.trackers["augment_p"] = keras.metrics.Mean(name="augment_p")

    def for_d(self, *pictures: tf.Tensor, turn: int = 0, low: float = -1.0):
        """What D sees of float pictures: augmented, and with instance noise on them. Reals, fakes and the fakes of G's step go
        through the same transformations of their row, so that D learns nothing from these; gradients pass.

        Args:
            pictures: (N, H, W, C) in [low, 1], or voxels; of a pair both, which are transformed alike.
            turn: which of D's updates of this step it is.
            low: -1 or 0.

        Returns:
            One tensor, or the list of several, in their range but not clipped.
        """
        options, seen = self.stability, list(pictures)
        if low == 0 and (options.augment or options.instance_noise):
            seen = [2 * x - 1 for x in seen]
        if self.shows_by:
            rows = tf.shape(seen[0])[0]
            view = self.shows_by.view(
                lambda columns: self.noise(tf.random.stateless_uniform, f"for_d {turn}", rows, [columns])
            )
            seen = [view(x) for x in seen]
        if options.instance_noise:
            seen = [x + self._instance_noise(x, f"instance noise {turn} {place}") for place, x in enumerate(seen)]
        if low == 0 and (options.augment or options.instance_noise):
            seen = [(x + 1) / 2 for x in seen]
        return seen if len(seen) > 1 else seen[0]

    def _instance_noise(self, x: tf.Tensor, stream: str) -> tf.Tensor:
        """Normal noise whose deviation falls to 0 over the first `instance_noise_steps` steps."""
        done = tf.cast(self.step.value, tf.float32) / float(self.stability.instance_noise_steps or 1)
        deviation = self.stability.instance_noise * tf.maximum(1 - done, 0.0)
        size = tf.shape(x)
        sides = [size[i] if side is None else side for i, side in enumerate(x.shape) if i]
        return tf.cast(deviation * self.noise(tf.random.stateless_normal, stream, size[0], sides), x.dtype)

    def d_loss(self, loss: Callable[..., tf.Tensor], real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
        """D's adversarial loss on logits: `loss(real, fake)` of the paper, with smoothed labels, or that of relativistic pairs."""
        if self.stability.relativistic:
            return losses.relativistic_d(real, fake)
        if self.stability.label_smoothing:
            return loss(real, fake=fake, smoothing=self.stability.label_smoothing)
        return loss(real, fake=fake)

    def g_loss(self, loss: Callable[..., tf.Tensor], fake: tf.Tensor, real: Callable[[], tf.Tensor]) -> tf.Tensor:
        """G's adversarial loss on logits: `loss(fake)` of the paper, or that of relativistic pairs, which asks D for `real()`."""
        return losses.relativistic_g(real(), fake) if self.stability.relativistic else loss(fake)

    def r1(self, critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor) -> tf.Tensor | float:
        """gamma / 2 times R1 at reals, 0 without it. `critic`: images -> logits, as D is asked in this step."""
        gamma = self.stability.r1_gamma
        return gamma / 2 * penalties.r1(critic, real) if gamma else 0.0

    def r2(self, critic: Callable[[tf.Tensor], tf.Tensor], fake: tf.Tensor) -> tf.Tensor | float:
        """As `r1`, at fakes."""
        gamma = self.stability.r2_gamma
        return gamma / 2 * penalties.r2(critic, fake) if gamma else 0.0

    def judged(self, real: tf.Tensor, fake: tf.Tensor) -> dict[str, tf.Tensor]:
        """What of a D step the paper logs besides its loss (`losses.judgement`), and ADA's p, which follows it. Relativistic
        logits have no zero of their own: there a fake is taken for real if it is above the real one of its pair."""
        said = losses.judgement(real, fake)
        if self.stability.relativistic:
            said["fooled"] = tf.reduce_mean(tf.cast(fake > real, tf.float32))
        if self.shows_by:
            self.shows_by.adapt(real, self.step.value)
            said |= self.shows_by.logs()
        return {key: value for key, value in said.items() if key in self.logs}

    @property
    def decay(self) -> float | tf.Tensor:
        """Of the averaged generator in this step: `ema_decay`, or by `ema_images`, a half-life that `ema_rampup` keeps below
        this share of the images seen so far."""
        half_life = float(self.stability.ema_images)
        if not half_life:
            return self.ema_decay
        if not self.stability.ema_rampup:
            return 0.5 ** (self.images_a_step / half_life)
        seen = tf.cast(self.step.value * self.images_a_step, tf.float32)
        return 0.5 ** (self.images_a_step / tf.clip_by_value(seen * self.stability.ema_rampup, 1e-8, half_life))
