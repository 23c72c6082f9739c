"""Metrics on plain arrays, in float64: they know no model. A metric's name is its whole protocol.

Features (N, D) come from an extractor of `ganzoo.metrics.features` or from anywhere else; this package needs NumPy only.
"""

from ganzoo.metrics._rows import ConstantRows, MetricWarning, SmallSample
from ganzoo.metrics.copies import near_copies
from ganzoo.metrics.diversity import pairwise_diversity
from ganzoo.metrics.frechet import Moments, frechet_distance
from ganzoo.metrics.holes import biharmonic, hole_l1, hole_l2, hole_psnr, mean_colour
from ganzoo.metrics.inception import inception_score
from ganzoo.metrics.kernel import kernel_distance, kernel_distance_blocks, kid_subset_size
from ganzoo.metrics.linear import linear_accuracy, svm_accuracy
from ganzoo.metrics.neighbours import density_coverage, nearest, precision_recall
from ganzoo.metrics.paired import feature_distance, l1, ms_ssim, ms_ssim_scales, psnr, ssim
from ganzoo.metrics.parzen import parzen_log_likelihood
from ganzoo.metrics.path_length import path_length
from ganzoo.metrics.voxels import nearest_iou, nearest_neighbour_accuracy, voxel_coverage, voxel_iou

__all__ = [
    "ConstantRows",
    "MetricWarning",
    "Moments",
    "SmallSample",
    "biharmonic",
    "density_coverage",
    "feature_distance",
    "frechet_distance",
    "hole_l1",
    "hole_l2",
    "hole_psnr",
    "inception_score",
    "kernel_distance",
    "kernel_distance_blocks",
    "kid_subset_size",
    "l1",
    "linear_accuracy",
    "mean_colour",
    "ms_ssim",
    "ms_ssim_scales",
    "near_copies",
    "nearest",
    "nearest_iou",
    "nearest_neighbour_accuracy",
    "pairwise_diversity",
    "parzen_log_likelihood",
    "path_length",
    "precision_recall",
    "psnr",
    "ssim",
    "svm_accuracy",
    "voxel_coverage",
    "voxel_iou",
]
