"""The parts of a run, one `fit` each: one, or one for each size of progressive growing."""

import dataclasses

import tensorflow as tf

from ganzoo.errors import GanzooError
from ganzoo.presets import GrowthConfig, TrainConfig


@dataclasses.dataclass(frozen=True)
class Segment:
    """Part of a run under one set of options, one `fit`.

    first_step, steps, first_image: where it lies in the run. pace: its batch size against `train.batch_size`. size: of
    the pictures, None for the data's own. fade, fade_from: this size fades in over so many images from that image on; 0
    for a size that stands. learning_rate: of all players, None for their own. part: its name, where parts train different
    networks; players: those that it trains, None for all.
    """

    first_step: int
    steps: int
    first_image: int
    batch_size: int
    pace: float = 1.0
    size: int | None = None
    fade: int = 0
    fade_from: int = 0
    learning_rate: float | None = None
    part: str = ""
    players: tuple[str, ...] | None = None

    @property
    def end(self) -> int:
        """The step after its last."""
        return self.first_step + self.steps

    def faded(self, step) -> tf.Tensor:
        """How much of the smaller size is left at this step of the run, 1 to 0: the fraction of the paper's lod."""
        image = self.first_image + (tf.cast(step, tf.int64) - self.first_step) * self.batch_size
        return tf.clip_by_value(1 - tf.cast(image - self.fade_from, tf.float32) / self.fade, 0.0, 1.0)


def one_segment(train: TrainConfig) -> list[Segment]:
    """The whole run under the same options."""
    return [Segment(0, train.steps, 0, train.batch_size)]


def encoder_first(whole: list[Segment], train: TrainConfig, encoder: str) -> list[Segment]:
    """The segments of a run whose first `train.encoder_steps` train an encoder alone, which then stands: "encoder", moved by
    e_optimizer, and "gan", by the others. With 0 of them the encoder came with the weights: `whole`, moved by the others.

    Args:
        encoder: what the paper's encoder is called, for a sentence.

    Raises:
        GanzooError: no step is left.
    """
    steps, gan = train.encoder_steps, ("d_optimizer", "g_optimizer")
    if not steps:
        return [dataclasses.replace(segment, players=gan) for segment in whole]
    if steps >= train.steps:
        raise GanzooError(
            f"train.steps ({train.steps}) are all of the run, and the first train.encoder_steps ({steps}) of them train "
            f"{encoder} alone: give more steps, or fewer encoder steps."
        )
    first = Segment(0, steps, 0, train.batch_size, part="encoder", players=("e_optimizer",))
    left, images = train.steps - steps, steps * train.batch_size
    return [first, Segment(steps, left, images, train.batch_size, part="gan", players=gan)]


def growing_segments(train: TrainConfig, image_size: int) -> list[Segment]:
    """The segments of `train.growth`: a size stands, the next one fades in, stands, ... up to `image_size`.

    Borders are counted in images and lie where StyleGAN's training_schedule has them: a size stands up to the border and
    with it, a fade ends at it. So they do not depend on `train.steps`, which only says where the run ends.

    Raises:
        GanzooError: no doubling leads from the first size to the last.
    """
    growth = train.growth or GrowthConfig()
    sizes = [growth.start_size]
    while sizes[-1] < image_size:
        sizes.append(2 * sizes[-1])
    if sizes[-1] != image_size:
        raise GanzooError(f"train.growth.start_size {sizes[0]} does not double to image_size {image_size}.")
    phases = [(size, fades) for size in sizes for fades in (True, False)][1:]
    segments, step, image, border = [], 0, 0, 0
    for i, (size, fades) in enumerate(phases):
        batch = growth.batch_sizes.get(str(size), train.batch_size)
        began, border = border, border + (growth.fade if fades else growth.stable)
        steps = -((image - border) // batch) if fades else (border - image) // batch + 1
        left = train.steps - step
        steps = left if i == len(phases) - 1 else min(max(steps, 0), left)
        if steps:
            rate = growth.learning_rates.get(str(size))
            pace = batch / train.batch_size
            fade, fade_from = (growth.fade, began) if fades else (0, 0)
            segments.append(Segment(step, steps, image, batch, pace, size, fade, fade_from, rate))
        step, image = step + steps, image + steps * batch
    return segments


def images_seen(segments: list[Segment], step: int) -> int:
    """Images in the first `step` steps of a run."""
    return sum(min(max(step - s.first_step, 0), s.steps) * s.batch_size for s in segments)
