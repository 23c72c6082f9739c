"""The licence passport: spelling, combining, duties; models that are refused, and what files carry."""

import json

import pytest
from PIL import Image
from support.cli_runs import refused, run

from ganzoo import data, presets, sampling, zoo
from ganzoo.data import bundled
from ganzoo.data import licence as data_licence
from ganzoo.errors import GanzooError
from ganzoo.exporting import manifest
from ganzoo.presets import licences
from ganzoo.presets.licences import Passport

pytest_plugins = ("support.cli_fixtures",)


@pytest.mark.parametrize(
    ("text", "spdx"),
    [
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc0", "CC0-1.0"),
        ("CC0 1.0 (art)", "CC0-1.0"),
        ("MIT (Fluent Emoji) and Apache-2.0 (Noto Emoji)", "Apache-2.0 AND MIT"),
        ("MIT License", "MIT"),
        ("Apache 2.0", "Apache-2.0"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0"),
        ("", "LicenseRef-unknown"),
        ("Our House Rules, v2", "LicenseRef-Our-House-Rules AND LicenseRef-v2"),
        ("LicenseRef-mine", "LicenseRef-mine"),
    ],
)
def test_licences_as_people_write_them(text, spdx):
    assert licences.spdx(text) == spdx
    assert licences.spdx(spdx) == spdx


@pytest.mark.parametrize(
    ("licence", "why"),
    [
        ("MIT AND CC0-1.0", ""),
        ("CC-BY-SA-4.0", ""),
        ("CC-BY-NC-4.0 AND MIT", "CC-BY-NC-4.0 forbids commercial use"),
        ("CC-BY-ND-4.0", "CC-BY-ND-4.0 forbids works that are derived"),
        ("LicenseRef-unknown AND MIT", "nobody has stated its licence"),
        ("LicenseRef-mine", "does not know the terms of LicenseRef-mine"),
    ],
)
def test_commercial_use(licence, why):
    assert why in Passport(licence).refuses("commercial")
    assert bool(why) == bool(Passport(licence).refuses("commercial"))


def test_an_unknown_use_is_refused():
    with pytest.raises(GanzooError, match=r'no use "comercial".*Did you mean "commercial"'):
        Passport("MIT").refuses("comercial")


def test_licences_combine_and_share_alike_data_are_named():
    both = licences.together(Passport("MIT", "A."), Passport("CC-BY-SA-4.0", "B."), Passport("MIT", "A."))
    assert both == Passport("CC-BY-SA-4.0 AND MIT", "A. B.")
    assert both.share_alike == ("CC-BY-SA-4.0",)
    assert "Give what you derive on under CC-BY-SA-4.0 (share-alike)." in both.duties()
    assert Passport("CC0-1.0").duties() == ["Nothing: no notice is required."]


def test_what_a_licence_file_means(tmp_path):
    assert licences.of_folder(tmp_path) is None
    said = {
        "CC-BY-4.0\nPhotos by A. N. Other\n": Passport("CC-BY-4.0", "Photos by A. N. Other"),
        "Copyright (c) 2020 Me\nSPDX-License-Identifier: MIT\n": Passport("MIT", "Copyright (c) 2020 Me"),
        "MIT License\n\nCopyright (c) 2020 Me\n\nPermission is hereby granted, free of charge, to any person\n"
        "obtaining a copy of this software": Passport("MIT", "Copyright (c) 2020 Me"),
        "Creative Commons\nAttribution-NonCommercial 4.0 International": Passport("CC-BY-NC-4.0", ""),
        "A text of many words that is the text of no licence which anybody here would know by its beginning, none.\n": Passport(),
    }
    for text, passport in said.items():
        (tmp_path / "LICENCE").write_text(text)
        assert licences.of_folder(tmp_path) == passport
    (tmp_path / "LICENCE").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GanzooError, match="UTF-8"):
        licences.of_folder(tmp_path)


def test_every_published_licence_and_every_bundled_set_is_spdx():
    for name in presets.list_models():
        for preset in presets.list_presets(name):
            passport = licences.of_preset(f"{name}/{preset}")
            assert passport is None or not passport.refuses("commercial"), name
    for name in bundled.bundled_names():
        assert all(part in licences.TERMS for part in data_licence.of_bundled(name).ids), name
    assert data_licence.of_bundled("emoji_64/noto").licence == "Apache-2.0"
    assert data_licence.of_bundled("emoji_64").licence == "Apache-2.0 AND MIT"


def test_trained_weights_are_under_what_they_were_trained_on():
    """Of the zoo: the licence of the weights is that of the bundled set of their preset."""
    for name in presets.list_models():
        for preset, record in presets.read(name).presets.items():
            source = bundled.canonical(record.data.source)
            if record.weights is None or source is None:
                continue
            ids = set(data_licence.of_bundled(source).ids)
            assert set(licences.spdx(record.weights.licence).split(" AND ")) >= ids, f"{name}/{preset}"


def test_what_a_run_s_data_say(pictures):
    config = presets.run_config("dcgan", {"data.source": str(pictures / "pics"), "data.size": 16}).data
    source = data.open_source(config)
    assert data.passport(source) == Passport()
    assert data.passport(data.open_source(config.model_copy(update={"licence": "cc by 4.0"}))).licence == "CC-BY-4.0"
    (pictures / "pics" / "LICENCE").write_text("CC-BY-SA-4.0\nDrawn by hand.\n")
    try:
        assert data.passport(data.open_source(config)) == Passport("CC-BY-SA-4.0", "Drawn by hand.")
    finally:
        (pictures / "pics" / "LICENCE").unlink()


def test_fine_tuning_inherits_and_everything_carries_it(dcgan, pictures, tmp_path):
    """A base under CC-BY-NC, fine-tuned on MIT data: both, in manifest, pictures and export; commercial use is refused."""
    assert licences.of_model_folder(dcgan[0]) == Passport()  # the user's folder says nothing
    model = zoo.load(dcgan[0])
    model.passport = Passport("CC-BY-NC-4.0", "Base by B.")
    zoo.save(model, tmp_path / "base")
    run("finetune", tmp_path / "base", "-o", tmp_path / "tuned", "--data", pictures / "pics", "--steps", 2,
        "--set", "data.licence=MIT", "--set", "train.log_every=1")  # fmt: skip
    both = Passport("CC-BY-NC-4.0 AND MIT", "Base by B.")
    assert licences.of_model_folder(tmp_path / "tuned") == both
    tuned = zoo.load(tmp_path / "tuned")
    assert tuned.passport == both
    assert manifest.describe(tuned)["licence"] == both.licence
    assert manifest.describe(tuned)["attribution"] == "Base by B."
    sampling.write_grid(tuned, tmp_path / "grid.png", 1)
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.text["licence"] == both.licence
        assert picture.text["attribution"] == "Base by B."
    with pytest.raises(GanzooError, match=r"refused for commercial use: CC-BY-NC-4\.0 forbids commercial use"):
        zoo.load(tmp_path / "tuned", require="commercial")
    with pytest.raises(GanzooError, match="nobody has stated its licence"):
        zoo.load(dcgan[0], require="commercial")
    text = run("card", tmp_path / "tuned", "--licences").stdout
    assert "No commercial use (CC-BY-NC-4.0)." in text
    assert "Base by B." in text


def test_a_model_that_was_fitted_by_hand_is_of_unknown_data(dcgan, tmp_path):
    model = zoo.load(dcgan[0])
    model.passport = Passport("MIT")
    model.step.assign(3)
    model.finalize = lambda: None
    zoo.save(model, tmp_path / "mine")
    assert licences.of_model_folder(tmp_path / "mine").licence == "LicenseRef-unknown AND MIT"


def test_a_manifest_from_anywhere():
    for value in (None, [], {"licence": 3, "attribution": {}}, {"licence": ""}):
        assert licences.of_manifest(value) == Passport()


def test_list_and_card_by_licence():
    def names(*words):
        return {row["name"] for paper in json.loads(run("list", "--json", *words).stdout) for row in paper["presets"]}

    assert "dcgan/fashion-32" in names("--licence", "MIT")
    assert "pix2pix/lines2colour-64" not in names("--licence", "MIT")
    assert "pix2pix/lines2colour-64" in names("--licence", "commercial")
    assert "pix2pix/facades-256" not in names("--licence", "commercial")
    assert {name.split("/")[0] for name in names("--task", "from text")} == {"text-to-image"}
    assert run("list", "--licence", "CC-BY-NC-4.0").stdout == ""
    text = run("card", "pix2pix/lines2colour-64", "--licences").stdout
    assert "Weights: CC-BY-4.0" in text
    assert "Lisa Wischofsky" in text
    assert "Code: ganzoo, Apache-2.0" in text
    value = json.loads(run("card", "pix2pix", "--licences", "--json").stdout)
    assert value["pix2pix/edges2emoji-128"]["licence"] == "MIT"
    assert value["pix2pix/edges2emoji-128"]["commercial"] is True
    assert "has no published weights" in refused("card", "dcgan/lsun-64", "--licences")
