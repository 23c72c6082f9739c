"""Cards and the README's table come from the TOML files and the registry."""

from pathlib import Path

import pytest

import ganzoo
from ganzoo import presets
from ganzoo.presets import cards, metric_names

ASSETS = Path(ganzoo.__file__).parent / "assets"
README = Path(__file__).resolve().parents[2] / "README.md"


def test_readme_table_is_the_generated_one():
    text = README.read_text("utf-8")
    begin, end = text.index("<!-- models:"), text.index("<!-- /models -->")
    table = text[text.index("\n", begin) + 1 : end].strip()
    assert table == cards.models_table(), "paste the output of ganzoo.presets.cards.models_table() between the markers"


@pytest.mark.parametrize("name", presets.list_models())
def test_card_says_what_the_toml_says(name):
    record = presets.read(name)
    text = ganzoo.card(name)
    assert record.paper.title in text
    assert record.paper.arxiv in text
    for preset, facts in record.presets.items():
        assert f"## {name}/{preset}" in text
        if facts.weights:
            assert facts.weights.sha256 in text
            assert facts.weights.licence in text


@pytest.mark.parametrize("name", presets.list_models())
def test_every_image_preset_says_what_it_expects(name):
    for key, preset in presets.read(name).presets.items():
        takes_pictures = (
            preset.data.shape in ("paired", "unpaired", "masks", "ages") or preset.data.render_size is not None
        )
        assert bool(preset.expects) == takes_pictures, f"{name}/{key}"
        assert preset.expects in ganzoo.card(f"{name}/{key}")
        if preset.expects:
            assert preset.expects.endswith(f"about {preset.data.render_size or preset.data.size} px")


def test_what_a_preset_expects_is_nothing_that_other_data_teach():
    assert presets.expects(presets.run_config("pix2pix")) == presets.read("pix2pix").presets["lines2colour-64"].expects
    assert presets.expects(presets.run_config("pix2pix", {"data.source": "mine"})) == ""
    assert presets.expects(presets.run_config("dcgan")) == ""


def test_card_of_one_preset_leaves_the_others_out():
    text = ganzoo.card("DCGAN/lorelei-64")
    assert "## dcgan/lorelei-64" in text
    assert "## dcgan/fashion-32" not in text


def test_every_shipped_preset_has_a_measured_result():
    assert shipped()
    for name, preset, facts in shipped():
        measured = [r for r in facts.results if r.source == "measured"]
        assert measured, f"{name}/{preset} ships weights without a measured result"
        assert all(r.steps and r.images and r.hours and r.seed is not None for r in measured)


def shipped():
    """(paper, preset, its record) of every preset that has weights."""
    files = {name: presets.read(name) for name in presets.list_models()}
    return [(name, key, p) for name, file in files.items() for key, p in file.presets.items() if p.weights]


@pytest.mark.parametrize(("name", "key", "preset"), [pytest.param(*s, id=f"{s[0]}/{s[1]}") for s in shipped()])
def test_every_shipped_preset_has_anchors_and_says_whether_it_copied(name, key, preset):
    """`python -m tools.publish --remeasure PAPER/PRESET` writes what this asks for."""
    found = {metric_names.parse(r.metric): r for r in preset.results}
    shapes = preset.data.shape == "voxels"  # have an overlap with the nearest shape instead
    faces = preset.data.shape == "ages"  # are measured by persons and ages
    holes = preset.data.shape == "masks"  # have a sheet of held-out pictures; most of each is a copy by nature
    with_sheet = "voxel-iou" if shapes else "hole-l1" if holes else "near-copies"
    copies = [r for p, r in found.items() if p.metric == with_sheet]
    assert copies or faces, "no share of near-copies"
    assert faces or (ASSETS / copies[0].sheet).is_file(), "no nearest-neighbour sheet"
    scores = (
        ("same-person-z0",)
        if faces
        else ("voxel-coverage",)
        if shapes
        else ("hole-l1", "hole-l2")
        if holes
        else ("fid", "kid")
    )
    scored = [r for p, r in found.items() if p.metric in scores]
    assert scored, "no distance between sets"
    assert all((r.floor is not None or holes or faces) and r.ceiling is not None for r in scored), "no anchors"
    better = all((r.value > r.ceiling) if shapes else (r.value < r.ceiling) for r in scored if not faces)
    assert better or "not reproduced" in preset.about, "not better than untrained, and the card does not say so"
    wanted = {metric_names.parse_stem(m).metric for m in preset.eval.metrics}
    assert wanted <= {p.metric.rstrip("0123456789k") if p.metric.startswith("ms-ssim") else p.metric for p in found}
    text = ganzoo.card(f"{name}/{key}")
    assert faces or f"`ganzoo/assets/{copies[0].sheet}`" in text
    assert all(f"| {'' if holes or faces else f'{r.floor:g}'} | {r.ceiling:g} |" in text for r in scored)


def test_every_card_ends_with_the_citation():
    text = cards.card("pix2pix/facades-256")
    assert text.endswith(
        """## Citation

```bibtex
@article{isola2016pix2pix,
  title = {{Image-to-Image Translation with Conditional Adversarial Networks}},
  author = {Phillip Isola and Jun-Yan Zhu and Tinghui Zhou and Alexei A. Efros},
  year = {2016},
  journal = {arXiv preprint arXiv:1611.07004},
  url = {https://arxiv.org/abs/1611.07004}
}
```
"""
    )
    keys = [cards.bibtex(name, presets.read(name).paper).splitlines()[0] for name in presets.list_models()]
    assert len(set(keys)) == len(keys)
