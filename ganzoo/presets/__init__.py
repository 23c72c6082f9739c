"""What is known without TensorFlow: the records of presets and runs, the zoo's TOML files, options, cards, metric names."""

from ganzoo.presets.catalogue import config_folder, find_paper, is_paper, list_models, list_presets, read, resolve
from ganzoo.presets.options import config_toml, from_toml, run_config
from ganzoo.presets.records import (
    OF_SOME_PAPERS,
    DataConfig,
    EvalConfig,
    GrowthConfig,
    OptimizerConfig,
    Paper,
    PaperFile,
    Preset,
    Result,
    RunConfig,
    StopConfig,
    TrainConfig,
    Weights,
    validate,
)
from ganzoo.presets.toml import to_toml

__all__ = [
    "OF_SOME_PAPERS",
    "DataConfig",
    "EvalConfig",
    "GrowthConfig",
    "OptimizerConfig",
    "Paper",
    "PaperFile",
    "Preset",
    "Result",
    "RunConfig",
    "StopConfig",
    "TrainConfig",
    "Weights",
    "config_folder",
    "config_toml",
    "find_paper",
    "from_toml",
    "is_paper",
    "list_models",
    "list_presets",
    "read",
    "resolve",
    "run_config",
    "to_toml",
    "validate",
]
