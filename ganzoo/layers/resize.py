"""Doubling a map and convolving it, in the place of a transposed convolution."""

import keras
import tensorflow as tf

from ganzoo.layers.convolution import finished
from ganzoo.layers.resampling import convolved_shape, double_and_convolve


@keras.saving.register_keras_serializable("ganzoo")
class ResizeConv2D(keras.layers.Conv2D):
    """Each pixel four times, then a 3x3 convolution: (N, H, W, C) -> (N, 2H, 2W, filters).

    A transposed convolution adds up an uneven number of its weights on neighbouring pixels, which a small or short-trained
    network leaves behind as a grid; here all pixels begin equal (Odena, Dumoulin, Olah 2016, "Deconvolution and Checkerboard
    Artifacts", distill.pub). The weights are those of `Conv2D(filters, 3, padding="same")` behind `UpSampling2D(2)`, and so are
    the numbers, to rounding. It is computed as what both are together: a transposed convolution with stride 2, whose 4x4 kernel
    has sums of the 3x3 one, at 4/9 of the products.
    """

    def __init__(self, filters, kernel_size=3, strides=1, padding="same", **options):
        super().__init__(filters, kernel_size, strides, padding, **options)
        if self.kernel_size != (3, 3) or self.strides != (1, 1) or self.padding != "same" or self.groups != 1:
            raise ValueError("ResizeConv2D has a kernel of 3x3, strides of 1, padding `same` and no groups.")

    def call(self, inputs, training=None):
        return finished(self, double_and_convolve(inputs, tf.convert_to_tensor(self.kernel), training))

    def compute_output_shape(self, input_shape):
        return convolved_shape(input_shape, self.filters, "up")
