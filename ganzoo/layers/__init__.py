"""Every `Layer` subclass of the zoo. Papers compose them; none of them knows a paper."""

from ganzoo.layers.dropout import MaskedDropout, RowUniform
from ganzoo.layers.maxout import Maxout
from ganzoo.layers.normalization import BatchNorm, InstanceNorm, Zeroed

__all__ = ["BatchNorm", "InstanceNorm", "MaskedDropout", "Maxout", "RowUniform", "Zeroed"]
