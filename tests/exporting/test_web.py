"""The page of `ganzoo serve`, and the page that `ganzoo export --to web` writes, in headless Chromium."""

import json
import os
import re
import socket
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.asgi import server
from support.browser import PHONE, choose, chromium, file_server, idle, page_of, shown
from tiny import TINY

import ganzoo
from ganzoo import exporting, serving, zoo
from ganzoo.errors import GanzooError
from ganzoo.exporting import runtime, web
from ganzoo.media import images
from ganzoo.metrics.features import cache
from ganzoo.page import BROWSER
from ganzoo.page import FOLDER as PAGE
from ganzoo.page import files as page_files

IN_BROWSER = (
    "age-cgan",
    "anime",
    "biggan",
    "context-encoder",
    "cyclegan",
    "dcgan",
    "3d-gan",
    "pix2pix",
    "stylegan-lite",
    "text-to-image",
)
SERVED = IN_BROWSER


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def models():
    """name -> small model whose pictures have contrast: kernels are drawn wider than training begins with."""
    found = {}
    for name in SERVED:
        found[name] = model = zoo.load(name, weights=None, **TINY[name])
        networks = [model.translator(way) for way in ("a2b", "b2a")] if name == "cyclegan" else [model.sampler]
        for seed, variable in enumerate(v for network in networks for v in network.weights):
            if len(variable.shape) > 1:
                wide = 4.0 if name == "stylegan-lite" else (3 / np.prod(variable.shape[:-1])) ** 0.5
                variable.assign(np.random.default_rng(seed).normal(0, wide, variable.shape))
    return found


@pytest.fixture(scope="module")
def pages(models, tmp_path_factory):
    """A file server's URL, below which each model's page stands under its name."""
    wanted = f"{runtime.PACKAGE}-{runtime.VERSION}.tgz"
    if not os.environ.get(runtime.VARIABLE) and not (cache.folder() / wanted).is_file():  # tests download nothing
        pytest.skip(
            f"{wanted} is not here: npm pack {runtime.PACKAGE}@{runtime.VERSION}, its path in {runtime.VARIABLE}"
        )
    pytest.importorskip("tf2onnx", reason="pip install 'ganzoo[onnx]'")
    root = tmp_path_factory.mktemp("pages")
    for name in IN_BROWSER:
        exporting.export(models[name], root / name, formats=["web"], allow_random=True)
    with file_server(root) as url:
        yield {name: f"{url}{name}/web/" for name in IN_BROWSER}


@pytest.fixture(scope="module")
def served(models, tmp_path_factory):
    """URL of `ganzoo serve` with every model."""
    pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
    root = tmp_path_factory.mktemp("served")
    for name, model in models.items():
        exporting.export(model, root / name, allow_random=True)
    with server(*(root / name for name in models), "--log", "none") as (_, url, _):
        yield {name: f"{url}/#{name}" for name in models}


@pytest.fixture(scope="module", params=["server", "browser"])
def site(request):
    """name -> URL of the model's page, once of the server and once of the export."""
    return request.getfixturevalue("served" if request.param == "server" else "pages")


def assert_same(found, wanted):
    wanted = np.broadcast_to(wanted, (*wanted.shape[:2], 3))
    assert np.ptp(wanted) > 30, "the model's picture is too flat to tell anything"
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 2


def picture_file(side, path, seed=0):
    drawn = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    path.write_bytes(images.png_bytes(drawn))
    return images.read_image(path.read_bytes(), 3)


# ---- the same pictures as in Python -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["anime", "dcgan", "stylegan-lite"])
def test_a_seed_shows_the_picture_of_generate(browser, site, models, name):
    with page_of(browser, site[name]) as page:
        for seed in (0, 3, 201):
            choose(page, "Seed", seed)
            assert_same(shown(page), models[name].generate(1, seed=seed)[0])
        page.get_by_label("Seed 202", exact=True).click()
        assert_same(shown(page), models[name].generate(1, seed=202)[0])


def test_a_class_is_chosen_from_a_menu(browser, site, models):
    model = models["biggan"]
    with page_of(browser, site["biggan"]) as page:
        assert page.get_by_label("What").locator("option").all_inner_texts() == list(model.class_names)
        for label in (2, 1):
            page.get_by_label("What").select_option(str(label))
            choose(page, "Seed", 4)
            assert_same(shown(page), model.generate(1, seed=4, label=label)[0])


def test_what_is_painted_over_is_filled_and_all_else_stays(browser, site, models, tmp_path):
    photo = picture_file(40, tmp_path / "photo.png")
    with page_of(browser, site["context-encoder"]) as page:
        page.get_by_label("Upload a picture").set_input_files(tmp_path / "photo.png")
        idle(page)
        assert (shown(page) == photo).all()  # nothing is painted yet
        page.get_by_label("Width of the brush").fill("4")
        box = page.locator("canvas.pad").bounding_box()
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
        page.mouse.down()
        page.mouse.up()
        idle(page)
        found = shown(page)
        painted = (found != photo).any(-1)
        assert 4 <= painted.sum() <= 30
        assert np.argwhere(painted).mean(0) == pytest.approx([24, 12], abs=1.5)
        assert_same(found, models["context-encoder"].generate(photo[None], mask=painted)[0])
        page.get_by_role("button", name="Undo").click()
        idle(page)
        assert (shown(page) == photo).all()


def test_truncation(browser, site, models):
    model = models["stylegan-lite"]
    with page_of(browser, site["stylegan-lite"]) as page:
        for psi in (1, -0.5):
            choose(page, "Truncation", psi)
            assert_same(shown(page), model.generate(1, seed=0, truncation_psi=psi)[0])


def test_what_is_asked_for_is_drawn(browser, site, models):
    """The rest is drawn as in Python, from the rows that have what is asked for."""
    model = models["anime"]
    with page_of(browser, site["anime"]) as page:
        choose(page, "Seed", 3)
        asked = {}
        for name, value in (("hair", "green"), ("glasses", "yes"), ("hair", "pink"), ("glasses", "no")):
            page.get_by_label(name, exact=True).select_option(value)
            idle(page)
            asked[name] = value
            assert_same(shown(page), model.generate(1, seed=3, attributes=asked)[0])
        page.get_by_label("hair", exact=True).select_option("any")
        idle(page)
        assert_same(shown(page), model.generate(1, seed=3, attributes={"glasses": False})[0])


def test_a_morph_begins_and_ends_at_its_seeds(browser, pages, models):
    model = models["dcgan"]
    with page_of(browser, pages["dcgan"]) as page:
        choose(page, "Seed", 4)
        choose(page, "Morph to seed", 9)
        choose(page, "How far", 1)
        assert_same(shown(page), model.generate(1, seed=9)[0])
        choose(page, "How far", 0.5)
        z = [model.latents(np.array([[seed, 0]], np.int32)).numpy()[0].astype(float) for seed in (4, 9)]
        sizes = [np.linalg.norm(v) for v in z]
        middle = z[0] / sizes[0] + z[1] / sizes[1]
        middle *= np.mean(sizes) / np.linalg.norm(middle)
        assert_same(shown(page), model.generate(latents=middle[None].astype(np.float32))[0])
        choose(page, "How far", 0)
        assert_same(shown(page), model.generate(1, seed=4)[0])


def test_pix2pix_answers_an_upload_and_a_drawing(browser, site, models, tmp_path):
    model = models["pix2pix"]
    picture = picture_file(64, tmp_path / "a.png")
    with page_of(browser, site["pix2pix"]) as page:
        page.get_by_label("Upload a picture").set_input_files(tmp_path / "a.png")
        for seed in (0, 7):
            choose(page, "Seed", seed)
            gray = images.to_channels(picture, model.input_channels)
            assert_same(shown(page), model.generate(gray[None], seed=seed)[0])
        before = shown(page)
        box = page.locator("canvas.pad").bounding_box()
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 150, box["y"] + 120, steps=4)
        page.mouse.up()
        drawn = shown(page)
        assert np.abs(drawn.astype(int) - before).max() > 2
        page.get_by_role("button", name="Undo").click()
        np.testing.assert_array_equal(shown(page), before)
        page.get_by_role("button", name="Clear").click()
        white = np.full((1, 64, 64, model.input_channels), 255, np.uint8)
        assert np.abs(shown(page).astype(int) - model.generate(white, seed=7)[0]).max() <= 2
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.up()
        assert (shown(page, "canvas.pad") < 128).any(), "a tap is a dot"
        page.locator("canvas.pad").press("Control+z")
        assert (shown(page, "canvas.pad") == 255).all()
        page.locator("canvas.pad").press("Control+z")
        np.testing.assert_array_equal(shown(page), before)


def test_a_face_is_shown_at_an_age(browser, site, models, tmp_path):
    model = models["age-cgan"]
    picture = images.to_channels(picture_file(model.image_size, tmp_path / "a.png"), model.channels)
    with page_of(browser, site["age-cgan"]) as page:
        page.get_by_label("Upload a picture").set_input_files(tmp_path / "a.png")
        for age in (10, 64):
            choose(page, "Age in years", age)
            wanted = model.generate(picture[None], **model.example_options | {"age": age})[0]
            assert_same(shown(page), wanted)
        assert not page.get_by_label("Seed").count()


def test_cyclegan_goes_both_ways(browser, site, models, tmp_path):
    model = models["cyclegan"]
    with page_of(browser, site["cyclegan"]) as page:
        picture = picture_file(page.evaluate("document.querySelector('canvas.output').width"), tmp_path / "a.png")
        page.get_by_label("Upload a picture").set_input_files(tmp_path / "a.png")
        for direction, label in (("a2b", "A to B"), ("b2a", "B to A")):
            page.get_by_label(label).check()
            assert_same(shown(page), model.generate(picture[None], direction=direction)[0])


def test_a_shape_turns_and_is_kept_as_a_mesh(browser, site, models, tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="pip install 'ganzoo[3d]'")
    with page_of(browser, site["3d-gan"], reduced_motion="reduce") as page:
        choose(page, "Seed", 3)
        values = models["3d-gan"].generate(1, seed=3)[0, ..., 0]
        threshold = round(float(np.median(values)) / 0.05) * 0.05
        choose(page, "Threshold", f"{threshold:.2f}")
        filled = np.pad(values >= np.float32(f"{threshold:.2f}"), 1)
        assert 0 < filled.sum() < values.size
        outer = sum(np.count_nonzero(np.diff(filled.astype(int), axis=axis)) for axis in range(3))
        with page.expect_download() as kept:
            page.get_by_role("button", name="Save GLB").click()
        assert kept.value.suggested_filename.endswith("-3.glb")
        kept.value.save_as(tmp_path / "a.glb")
        mesh = trimesh.load(tmp_path / "a.glb", force="mesh", process=False)
        side = len(values)
        assert len(mesh.faces) == 2 * outer
        assert mesh.area * side**2 == pytest.approx(outer, rel=1e-5)
        assert mesh.volume * side**3 == pytest.approx(filled.sum(), rel=1e-4)  # so every face looks outwards
        before = shown(page)
        page.locator("canvas.turn").press("ArrowLeft")
        turned = shown(page)
        assert np.any(turned != before)
        box = page.locator("canvas.turn").bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 160, box["y"] + 100)
        page.mouse.up()
        assert np.any(shown(page) != turned)


@pytest.mark.parametrize(
    "sentence", ["a boy with short blue hair", "A Kelvin sign \u212a, 微笑, top-hat - " + "x" * 150]
)
def test_a_sentence_is_drawn(browser, site, models, sentence):
    """Capitals, what the alphabet does not have, and what is too long, as in Python."""
    with page_of(browser, site["text-to-image"]) as page:
        area = page.get_by_label("Sentence")
        area.fill(sentence)
        area.press("Enter")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the characters that are cut off
            wanted = models["text-to-image"].generate([sentence], seed=0)[0]
        assert np.abs(shown(page).astype(int) - wanted).max() <= 2


def test_a_picture_is_kept_as_png(browser, site, models, tmp_path):
    with page_of(browser, site["dcgan"]) as page:
        with page.expect_download() as kept:
            page.get_by_role("button", name="Save PNG").click()
        kept.value.save_as(tmp_path / "a.png")
        assert_same(images.read_image((tmp_path / "a.png").read_bytes(), 3), models["dcgan"].generate(1, seed=0)[0])


# ---- for everybody ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["age-cgan", "anime", "dcgan", "pix2pix", "cyclegan", "3d-gan", "stylegan-lite"])
def test_it_fits_a_phone_and_every_control_has_a_name(browser, site, name):
    with page_of(browser, site[name], viewport=PHONE, has_touch=True, is_mobile=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        controls = page.locator("main :is(button, input, select, textarea, canvas[role])").element_handles()
        nameless = [c.evaluate("c => c.outerHTML") for c in controls if not c.evaluate(ACCESSIBLE_NAME)]
        assert not nameless
        boxes = [c.bounding_box() for c in page.locator(".view button").element_handles()]
        assert min(box["height"] for box in boxes) >= 40


ACCESSIBLE_NAME = "c => c.ariaLabel || c.textContent.trim() || [...(c.labels || [])].map(l => l.textContent).join('')"


def test_the_server_page_lists_models_and_their_licence(browser, served):
    with page_of(browser, served["dcgan"]) as page:
        assert page.locator("nav button").all_inner_texts() == list(SERVED)
        page.get_by_role("button", name="pix2pix", exact=True).click()
        idle(page)
        assert page.locator("nav [aria-current]").inner_text() == "pix2pix"
        assert "Image-to-Image Translation" in page.locator("footer").inner_text()
        assert "no licence" in page.locator("footer").inner_text()  # random weights are nobody's
        assert page.url.endswith("#pix2pix")


def test_the_exported_page_names_licence_attribution_and_runtime():
    model = ganzoo.load("dcgan/fashion-32")
    entry = web._about(model, 32)
    assert entry["licence"]
    assert entry["attribution"]
    assert runtime.VERSION in runtime.ABOUT


# ---- what goes wrong is said ------------------------------------------------------------------------------------------
def test_a_file_that_is_no_picture_is_refused_in_a_sentence(browser, site, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with page_of(browser, site["pix2pix"]) as page:
        before = shown(page)
        page.get_by_label("Upload a picture").set_input_files(tmp_path / "a.txt")
        page.wait_for_selector("#status.wrong")
        assert (
            page.locator("#status").inner_text() == "a.txt is not a picture that this browser reads. PNG and JPEG are."
        )
        np.testing.assert_array_equal(shown(page), before)


@contextmanager
def in_thread(folder, **options):
    """The server's app in a thread: yields its URL, and what ends it. A process takes ten seconds to start."""
    import uvicorn

    app = serving.create_app([serving.load(*serving.prepare(str(folder), folder))], log="none", **options)
    running = uvicorn.Server(uvicorn.Config(app, log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)

        def stop():
            running.should_exit = running.force_exit = True
            thread.join(30)

        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", stop
        finally:
            stop()


def test_a_server_that_is_gone_and_a_key_that_is_asked_for(browser, models, tmp_path):
    pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
    exporting.export(models["dcgan"], tmp_path / "dcgan", allow_random=True)
    with (
        in_thread(tmp_path / "dcgan", api_key="s3cret") as (url, stop),
        page_of(browser, url, expect_errors=True) as page,
    ):
        assert "asks for its key" in page.locator("#status").inner_text()
        page.get_by_label("Key of this server").fill("wrong")
        page.get_by_role("button", name="Open").click()
        page.wait_for_timeout(200)
        assert page.locator("canvas").count() == 0
        page.get_by_label("Key of this server").fill("s3cret")
        page.get_by_role("button", name="Open").click()
        page.wait_for_selector("canvas.output")
        assert_same(shown(page), models["dcgan"].generate(1, seed=0)[0])
        assert page.get_by_label("Key of this server").is_hidden()
        stop()
        choose(page, "Seed", 50)
        assert page.locator("#status").inner_text() == "The server does not answer. Is it still running?"


def test_a_page_without_its_network_says_so(browser, pages):
    with page_of(browser, pages["dcgan"], expect_errors=True) as page:
        page.route("**/network.onnx", lambda route: route.abort())
        page.reload()
        page.wait_for_selector("#status.wrong")
        assert "network.onnx cannot be read" in page.locator("#status").inner_text()


def test_a_text_encoder_from_elsewhere_is_refused_by_name(tmp_path):
    model = zoo.load("text-to-image", weights=None, **(TINY["text-to-image"] | {"encoder": "embedding"}))
    with pytest.raises(GanzooError, match=r"text encoder of the model's own.*embedding"):
        exporting.export(model, tmp_path, formats=["web"], allow_random=True)
    assert not list(tmp_path.iterdir())


# ---- files ------------------------------------------------------------------------------------------------------------
def test_the_scripts_need_no_build_and_name_no_other_host():
    scripts = [*PAGE.glob("*.js"), *BROWSER.glob("*.js")]
    assert len(scripts) > 8
    for file in scripts:
        text = file.read_text("utf-8")
        for imported in re.findall(r'from "(.*?)"', text):
            assert imported.startswith("./") or imported == "../runtime/ort.wasm.bundle.min.mjs", (file, imported)
            assert not imported.startswith("./") or any((folder / imported).is_file() for folder in (PAGE, BROWSER)), (
                file,
                imported,
            )
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))
        assert "://" not in code, file
    page = (PAGE / "index.html").read_text("utf-8")
    assert "://" not in page
    assert {*re.findall(r'(?:href|src)="static/(.*?)"', page)} <= {file.name for file in page_files()}


def test_both_backends_offer_the_same():
    """But for morphs, which `canMorph` tells apart, and the key."""
    exported = [
        set(
            re.findall(r"^export (?:async )?(?:function|const) (\w+)", (folder / "backend.js").read_text("utf-8"), re.M)
        )
        for folder in (PAGE, BROWSER)
    ]
    assert exported[0] ^ exported[1] == {"morph", "setKey"}


def test_the_runtime_is_one_version_with_one_checksum(tmp_path, monkeypatch):
    other = tmp_path / "onnxruntime-web-1.30.0.tgz"
    other.write_bytes(b"not what was published")
    for named, sentence in ((str(other), "SHA-512 differs"), (str(tmp_path / "none.tgz"), "which is not a file")):
        monkeypatch.setenv(runtime.VARIABLE, named)
        with pytest.raises(GanzooError, match=sentence):
            runtime.install(tmp_path / "runtime")
        assert not (tmp_path / "runtime").exists()
    monkeypatch.delenv(runtime.VARIABLE)
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GanzooError, match=r"npm is not installed.*GANZOO_ORT_WEB"):
        runtime.install(tmp_path / "runtime")


def test_an_export_holds_what_the_page_asks_for(pages, models, tmp_path):
    folder = exporting.export(models["pix2pix"], tmp_path, formats=["web"], allow_random=True)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    scripts = {f"static/{file.name}" for file in page_files() if file.name != "index.html"}
    wanted = {
        "index.html",
        "manifest.json",
        "models.json",
        "network.onnx",
        "masks.bin",
        *(f"runtime/{name}" for name in runtime.FILES),
    }
    own = list(BROWSER.glob("*.js"))
    assert files == wanted | scripts | {f"static/{file.name}" for file in own}
    for file in own:
        assert (folder / "static" / file.name).read_bytes() == file.read_bytes()
    (entry,) = json.loads((folder / "models.json").read_text("utf-8"))
    shapes = entry["web"]["networks"]["network"]["inputs"]
    units = sum(int(np.prod(shape)) for name, shape in shapes.items() if name != "images")
    assert Path(folder / "masks.bin").stat().st_size == entry["web"]["seeds"] * units > 0
