"""The tests of `pytest -m quick`: something of every room, in well under 90 seconds on two cores that are idle.

A file, or a file and names of tests of it. What needs a training, a fresh process or the larger models is left out.
"""

QUICK: dict[str, tuple[str, ...]] = {
    "test_files.py": (),
    "test_hub.py": ("test_a_model_goes_up", "test_a_licence_that_forbids", "test_addresses"),
    "test_losses.py": (),
    "test_penalties.py": (),
    "test_registry.py": (),
    "test_schedules.py": (),
    "base/test_base.py": ("test_a_step_by_hand", "test_noise_depends", "test_row_seeds", "test_training_state_names"),
    "base/test_guard.py": (),
    "cli/test_cli.py": ("test_help_names", "test_version", "test_list", "test_card", "test_settings_are_toml"),
    "cli/test_replay.py": ("test_a_grid_is_made", "test_the_sidecar"),
    "data/test_source.py": (),
    "data/test_captions.py": (),
    "devices/test_strategies.py": ("test_slurm", "test_tf_config", "test_a_broken_tf_config"),
    "doctor/test_doctor_distribute.py": ("test_every_model_has_a_small_form",),
    "doctor/test_env.py": ("test_extras", "test_files_of_the_system"),
    "evaluation/test_evaluation.py": ("test_small_counts_say", "test_folders_that_cannot_be_measured"),
    "explore/test_explore.py": ("test_points", "test_slerp", "test_factorise", "test_layer_groups", "test_enlarged"),
    "exporting/test_export.py": ("test_licence_of_published_weights", "test_unknown_formats_are_refused"),
    "importers/test_strangers.py": ("test_prefixes_are_cut", "test_a_hostile_pickle", "test_dictionaries_within"),
    "layers/test_layers.py": (),
    "media/test_images.py": (),
    "metrics/test_metrics_paired.py": (),
    "models/test_models.py": (
        "test_a_preset_fits",
        "test_the_docstring",
        *(f"test_config_round_trips[{name}-" for name in ("gan", "dcgan", "pix2pix")),
        *(f"test_keys_name_the_network_and_every_layer_has_a_name_of_its_own[{name}" for name in ("gan", "pix2pix")),
    ),
    "models/test_papers_read_alone.py": (),
    "presets/test_licences.py": (
        "test_licences",
        "test_commercial",
        "test_an_unknown",
        "test_what_a_licence",
        "test_a_manifest",
    ),
    "presets/test_presets.py": (),
    "presets/test_metric_names.py": (),
    "report/test_explain.py": ("test_the_numbers_of_pix2pix", "test_repeats", "test_what_a_docstring"),
    "report/test_report.py": ("test_ticks", "test_verdict", "test_chart", "test_hostile_texts"),
    "runs/test_log.py": (),
    "serving/test_serving.py": ("test_calls_have", "test_slow_models", "test_an_error_reaches"),
    "serving/test_serving_contract.py": ("test_urls_and_statuses", "test_numbers_that_json"),
    "training/test_plan.py": ("test_the_prediction", "test_the_probes"),
    "training/test_progress.py": ("test_a_short_run",),
}


def is_quick(path: str, name: str) -> bool:
    """Whether a test, by its file under tests/ and its name, is one of these."""
    return path in QUICK and (not QUICK[path] or name.startswith(QUICK[path]))
