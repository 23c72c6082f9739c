"""Every `Layer` subclass of the zoo. Papers compose them; none of them knows a paper."""

from ganzoo.layers.channelwise import ChannelwiseDense
from ganzoo.layers.conditional import Attend, Gated, Modulate, OneHot, Part, SumOfPlaces
from ganzoo.layers.convolution import FastConv2D, FastConv2DTranspose, FastConv3D, FastConv3DTranspose
from ganzoo.layers.dropout import MaskedDropout, RowUniform
from ganzoo.layers.equalized import Blur, EqualizedConv2D, EqualizedDense
from ganzoo.layers.folded import as_convolutions
from ganzoo.layers.history import ImagePool
from ganzoo.layers.maxout import Maxout
from ganzoo.layers.normalization import BatchNorm, InstanceNorm, Zeroed
from ganzoo.layers.padding import DropFirst, ReflectPad
from ganzoo.layers.quantised import QuantisedConv2D
from ganzoo.layers.residual import Arctanh
from ganzoo.layers.resize import ResizeConv2D
from ganzoo.layers.rows import KeptRows
from ganzoo.layers.shuffle import EqualSubfilters, PixelShuffle
from ganzoo.layers.spectral import SpectralConv2D, SpectralDense, SpectralTable
from ganzoo.layers.style import MinibatchStddev, StyleEpilogue, demodulation

__all__ = [
    "Arctanh",
    "Attend",
    "BatchNorm",
    "Blur",
    "ChannelwiseDense",
    "DropFirst",
    "EqualSubfilters",
    "EqualizedConv2D",
    "EqualizedDense",
    "FastConv2D",
    "FastConv2DTranspose",
    "FastConv3D",
    "FastConv3DTranspose",
    "Gated",
    "ImagePool",
    "InstanceNorm",
    "KeptRows",
    "MaskedDropout",
    "Maxout",
    "MinibatchStddev",
    "Modulate",
    "OneHot",
    "Part",
    "PixelShuffle",
    "QuantisedConv2D",
    "ReflectPad",
    "ResizeConv2D",
    "RowUniform",
    "SpectralConv2D",
    "SpectralDense",
    "SpectralTable",
    "StyleEpilogue",
    "SumOfPlaces",
    "Zeroed",
    "as_convolutions",
    "demodulation",
]
