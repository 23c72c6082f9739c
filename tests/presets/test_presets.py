"""Presets and run options: names, TOML, overrides, and the sentence for every mistake."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo import presets, zoo
from ganzoo.errors import GanzooError

EVERY = [f"{name}/{preset}" for name in presets.list_models() for preset in presets.list_presets(name)]


# ---- the zoo's files -------------------------------------------------------------------------------------------------
def test_every_paper_of_the_zoo_comes_trained():
    """Not asked of one paper alone (`--paper`): it is written before it is trained."""
    assert all(next(iter(presets.read(name).presets.values())).weights for name in presets.list_models())


@pytest.mark.parametrize("name", presets.list_models())
def test_a_paper_s_file_is_whole(name):
    record = presets.read(name)
    assert record.paper.paper_preset in record.presets
    assert presets.list_presets(name) == list(record.presets)
    trained = [key for key, preset in record.presets.items() if preset.weights]
    assert not trained or next(iter(record.presets)) in trained, "the default preset has weights, once there are some"
    plain = [presets.catalogue._plain(key) for key in record.presets]
    assert len(set(plain)) == len(plain)


def test_names_and_aliases_mean_one_paper_each():
    keys = [key for name in presets.list_models() for key in (name, *presets.read(name).paper.aliases)]
    assert len({presets.catalogue._plain(key) for key in keys}) == len(keys)


def test_contract_names():
    assert {"gan", "dcgan", "pix2pix"} <= set(presets.list_models())
    wanted = {
        "gan": ["fashion-28", "mnist-28"],
        "dcgan": ["fashion-32", "lorelei-64", "lsun-64", "pytorch-64"],
        "pix2pix": ["lines2colour-64", "edges2emoji-128", "facades-256"],
    }
    for name, names in wanted.items():
        assert presets.list_presets(name) == names


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("pix2pix", ("pix2pix", "lines2colour-64")),
        ("Pix2Pix", ("pix2pix", "lines2colour-64")),
        ("PIX_2-pix", ("pix2pix", "lines2colour-64")),
        ("DC GAN", ("dcgan", "fashion-32")),
        ("3dgan", ("3d-gan", "furniture-32")),
        ("GAN3D", ("3d-gan", "furniture-32")),
        ("goodfellow", ("gan", "fashion-28")),
        ("Good_Fellow/MNIST28", ("gan", "mnist-28")),
        ("dcgan/Lorelei_64", ("dcgan", "lorelei-64")),
        ("dcgan/", ("dcgan", "fashion-32")),
    ],
)
def test_names_forgive_case_and_separators(typed, found):
    assert presets.resolve(typed) == found
    assert presets.is_paper(typed.split("/")[0])


def test_one_paper_is_read_from_its_own_file(monkeypatch):
    known = presets.catalogue._Files(presets.config_folder())
    monkeypatch.setattr(presets.catalogue, "_files", lambda: known)
    presets.run_config("DC_GAN/fashion-32")
    assert list(known.known) == ["dcgan"]
    assert not presets.is_paper("nothing of this name")
    assert list(known.known) != ["dcgan"], "an alias may stand in any file"


def test_the_preset_may_stand_apart():
    assert presets.resolve("dcgan", "LORELEI 64") == ("dcgan", "lorelei-64")
    assert presets.resolve("dcgan/lorelei-64", "lorelei64") == ("dcgan", "lorelei-64")
    with pytest.raises(GanzooError, match="give one of them"):
        presets.resolve("dcgan/lorelei-64", "fashion-32")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("pix2pixx", 'There is no model "pix2pixx". Did you mean "pix2pix"?'),
        ("dgcan", 'There is no model "dgcan". Did you mean "dcgan"?'),
        ("zebra", 'There is no model "zebra". Accepted: '),
        ("dcgan/lorelay-64", 'dcgan has no preset "lorelay-64". Did you mean "lorelei-64"?'),
        ("dcgan/xyz", 'dcgan has no preset "xyz". Accepted: fashion-32, '),
        ("", 'There is no model "".'),
    ],
)
def test_a_wrong_name_lists_the_near_ones(typed, sentence):
    with pytest.raises(GanzooError) as error:
        presets.resolve(typed)
    assert str(error.value).startswith(sentence)
    assert not presets.is_paper(typed.split("/")[0]) or "/" in typed


# ---- run options -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", EVERY)
def test_options_survive_their_file(name, tmp_path):
    config = zoo.complete(presets.run_config(name))
    path = tmp_path / "config.toml"
    path.write_text(presets.config_toml(config), "utf-8")
    assert presets.run_config(path) == config
    assert presets.run_config(str(path)) == config
    assert presets.run_config(config) == config


def test_overrides_by_dotted_and_bare_key():
    before = presets.run_config("pix2pix")
    changes = {"train.batch_size": 2, "steps": 7, "source": "photos", "model.ngf": 8, "train.g_optimizer.beta_1": 0.25}
    config = presets.run_config("pix2pix", changes | {"data.load_size": 70})
    assert (config.train.batch_size, config.train.steps, config.data.source) == (2, 7, "photos")
    assert (config.model["ngf"], config.train.g_optimizer.beta_1, config.data.load_size) == (8, 0.25, 70)
    assert config.train.d_optimizer == before.train.d_optimizer
    assert presets.run_config("pix2pix") == before, "the zoo's own record is untouched"
    assert presets.run_config(config, {"data.load_size": None}).data.load_size is None
    assert presets.run_config(config, {"train.g_optimizer.learning_rate": 1}).train.g_optimizer.learning_rate == 1.0


def write(tmp_path, text):
    path = tmp_path / "my.toml"
    path.write_text(text, "utf-8")
    return path


def test_an_own_file_extends_a_preset(tmp_path):
    path = write(
        tmp_path,
        'extends = "DCGAN/fashion32"\n[model]\nngf = 8\n[train]\nsteps = 3\n[train.g_optimizer]\nbeta_1 = 0.0\n',
    )
    config, base = presets.run_config(path), presets.run_config("dcgan/fashion-32")
    assert (config.name, config.preset) == ("dcgan", "fashion-32")
    assert config.model == base.model | {"ngf": 8}
    assert config.train.steps == 3
    assert config.train.g_optimizer == base.train.g_optimizer.model_copy(update={"beta_1": 0.0})
    assert config.data == base.data
    assert presets.run_config(path, {"train.steps": 4}).train.steps == 4


def test_an_own_file_may_name_the_paper_and_everything_else(tmp_path):
    tables = presets.run_config("gan/mnist-28").model_dump(exclude_none=True) | {"name": "GoodFellow"}
    del tables["preset"]
    config = presets.run_config(write(tmp_path, presets.to_toml(tables)))
    assert (config.name, config.preset) == ("gan", "my")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"train.batchsize": 2}, 'nknown option "train.batchsize". Did you mean "batch_size"?'),
        ({"train.g_optimizer.learning_rat": 1.0}, 'nknown option "train.g_optimizer.learning_rat". Did you mean "learning_rate"?'),
        ({"data.sorce": "x"}, 'nknown option "data.sorce". Did you mean "source"?'),
        ({"batchsize": 2}, 'nknown option "batchsize". Did you mean "batch_size"?'),
        ({"trian.steps": 2}, 'there is no table "trian". Did you mean "train"?'),
        ({"train.steps.more": 2}, "train.steps.more"),
        ({"train.batch_size": "many"}, "train.batch_size: Input should be a valid integer; received 'many'"),
        ({"train.batch_size": 2.5}, "train.batch_size"),
        ({"train.batch_size": True}, "train.batch_size"),
        ({"train.batch_size": 0}, "train.batch_size: Input should be greater than 0; received 0"),
        ({"train.seed": -1}, "train.seed"),
        ({"train.seed": 2**31}, "train.seed"),
        ({"train.precision": "float8"}, "'float32', 'bfloat16', 'float16' or 'auto'"),
        ({"train.accumulate": 3}, "train: accumulate 3 does not divide a batch of 64."),
        ({"train.steps_per_execution": 7}, "train: steps 18000 is not a multiple of steps_per_execution 7."),
        ({"train.steps_per_execution": 100}, "train: log_every 50 is not a multiple of steps_per_execution 100."),
        ({"train.lr_multipliers": {"a": -1.0}}, "train.lr_multipliers.a: Input should be greater than or equal to 0"),
        ({"train.g_optimizer.learning_rate": float("inf")}, "finite"),
        ({"train.g_optimizer.learning_rate": float("nan")}, "train.g_optimizer.learning_rate"),
        ({"train.g_optimizer.name": "adamw"}, "'adam' or 'sgd'"),
        ({"train.g_optimizer.momentum": 0.9}, 'train.g_optimizer: momentum and momentum_end are for name = "sgd"; adam has beta_1.'),
        ({"train.d_optimizer.constant_steps": 5}, "train.d_optimizer: constant_steps needs decay_steps, or decay."),
        ({"train.d_optimizer.decay_steps": 5, "train.d_optimizer.decay": 1.1}, "train.d_optimizer: decay, decay_steps and halve_every are three schedules"),
        ({"train.d_optimizer.name": "sgd", "train.d_optimizer.momentum_end": 0.7}, "belong together"),
        ({"data.shape": "video"}, "'images', 'paired', 'unpaired', 'voxels', 'captions', 'attributes', 'masks' or 'ages'"),
        ({"data.load_size": 8}, "data: load_size 8 is smaller than size 32: nothing to crop."),
        ({"data.channels": 2}, "data.channels"),
        ({"train": 3}, 'nknown option "train"'),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named_with_what_is_accepted(overrides, sentence):
    with pytest.raises(GanzooError) as error:
        presets.run_config("dcgan/fashion-32", overrides)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('extends = "dcgan/fashion-32"\n[train]\nbatch_sise = 2\n', 'nknown option "train.batch_sise". Did you mean "batch_size"?'),
        ('extends = "dcgan/fashion-32"\n[trains]\nsteps = 2\n', 'nknown option "trains". Did you mean "train"?'),
        ('extends = "dcgan/fashion-32"\ntrain = 3\n', "train"),
        ('extends = "dcgan/fashion-33"\n', 'Did you mean "fashion-32"?'),
        ('[train]\nsteps = 2\n', "says neither extends"),
        ('name = "gan"\n', '"model" is missing'),
        ('name = "gam"\n', 'Did you mean "gan"?'),
        ('extends = \n', "cannot be read as TOML"),
        ('extends = "dcgan"\nextends = "gan"\n', "cannot be read as TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_said_in_a_sentence(text, sentence, tmp_path):
    with pytest.raises(GanzooError) as error:
        presets.run_config(write(tmp_path, text))
    assert sentence in str(error.value)


def test_an_unreadable_file_is_said_in_a_sentence(tmp_path):
    with pytest.raises(GanzooError, match=r"nowhere\.toml cannot be read"):
        presets.run_config(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(GanzooError, match=r"binary\.toml cannot be read"):
        presets.run_config(tmp_path / "binary.toml")


def test_a_published_weights_entry_needs_its_sha256():
    entry = {"file": "x.safetensors", "bytes": 1, "licence": "CC0"}
    for sha in ({}, {"sha256": ""}, {"sha256": "ABC"}, {"sha256": "0" * 63}):
        with pytest.raises(GanzooError, match="sha256"):
            presets.validate(presets.Weights, entry | sha, "x.toml")
    assert presets.validate(presets.Weights, entry | {"sha256": "0" * 64}, "x.toml").attribution == ""


def test_records_are_frozen():
    config = presets.run_config("gan")
    with pytest.raises(ValueError, match="frozen"):
        config.train.steps = 3


# ---- the TOML writer -------------------------------------------------------------------------------------------------
KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
TABLES = st.recursive(
    st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=3), max_size=4),
    lambda inner: st.dictionaries(KEYS, SCALARS | inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(TABLES)
def test_what_is_written_is_read_back(tables):
    assert tomllib.loads(presets.to_toml(tables)) == tables


def test_another_source_does_not_inherit_the_splits_of_the_presets_own(tmp_path):
    own = presets.run_config("dcgan/lorelei-64").data
    assert own.split == "train+novel"
    assert presets.run_config("dcgan/lorelei-64", {"data.source": "photos/"}).data.split == "train"
    assert presets.run_config("dcgan/lorelei-64", {"source": "photos/"}).data.split == "train"
    assert presets.run_config("dcgan/lorelei-64", {"data.source": own.source}).data.split == "train+novel"
    given = {"data.source": "photos/", "data.split": "all"}
    assert presets.run_config("dcgan/lorelei-64", given).data.split == "all"
    path = tmp_path / "mine.toml"
    path.write_text('extends = "dcgan/lorelei-64"\n[data]\nsource = "photos/"\n', "utf-8")
    assert presets.run_config(path).data.split == "train"


def test_the_pretrained_models_are_those_that_load_with_weights():
    found = presets.list_models(pretrained=True)
    assert set(found) <= set(presets.list_models())
    for name in presets.list_models():
        paper, preset = presets.resolve(name)
        assert (name in found) == (presets.read(paper).presets[preset].weights is not None)
