"""Metrics on plain arrays: they know no model. A metric's name is its whole protocol."""

from ganzoo.metrics.linear import linear_accuracy
from ganzoo.metrics.paired import l1, psnr
from ganzoo.metrics.parzen import parzen_log_likelihood

__all__ = ["l1", "linear_accuracy", "parzen_log_likelihood", "psnr"]
