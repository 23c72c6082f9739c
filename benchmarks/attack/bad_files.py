"""Files, folders, settings and words that somebody brings: each is read, or refused in one sentence, in little memory and time."""

import io
import json
import os
import random
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.attack.table import Row, apart
from ganzoo.errors import LONGEST

SLOW = 20.0  # seconds of this process in which the worst file is refused
Case = tuple[str, Callable[[], object]]
DEEP = ("[" * 100_000, '{"a":' * 50_000, "[" * 300 + "]" * 300)
LONG = ("9" * 5_000, str(2**70), "1e999", "-1e999", "NaN", "-Infinity")
WORDS = ("", " ", "\0", "[]", "null", "{}", '"x"', "\ud800", "[" * 10, *DEEP, *LONG)


def bad_files(folder: Path, few: bool) -> Iterator[Row]:
    for name, cases in GROUPS.items():
        start, place = time.monotonic(), folder / cases.__name__
        place.mkdir()
        tries, faults = apart(tried, cases, place, few)
        yield Row("bad files", name, tries, faults, time.monotonic() - start)


def tried(cases: Callable[[Path], Iterator[Case]], folder: Path, few: bool = False) -> Iterator[tuple[str, str | None]]:
    """(what, what was wrong) of each case, before and after it: of `few` every seventh."""
    for number, (what, read) in enumerate(cases(folder)):
        if few and number % 7:
            continue
        yield what, None
        began, wrong = time.process_time(), fault(read)
        spent = time.process_time() - began
        yield what, wrong or (f"took {spent:.0f} s" if spent > SLOW else "")


def fault(read: Callable[[], object]) -> str:
    """What was wrong with reading: "" where it gave something or ended in one sentence."""
    from ganzoo import GanzooError

    try:
        found = read()
        return found if isinstance(found, str) else ""
    except GanzooError as error:
        text = str(error)
        if len(text) > LONGEST or text.count("\n") > 15:
            return f"no sentence: {text[:300]}"
        return "" if text.strip() else "says nothing"
    except MemoryError:
        return "took gigabytes of memory"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]}"


def damaged(data: bytes, draw: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Cut off, with bytes changed, with bytes between, and with numbers of a header at their largest."""
    for number in range(count):
        kind, changed = number % 4, bytearray(data)
        place = draw.randrange(min(len(data), draw.choice((64, len(data)))))
        if kind == 0:
            yield f"cut off at {place}", data[:place]
            continue
        if kind == 1:
            for _ in range(draw.choice((1, 8, 64))):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
        elif kind == 2:
            changed[place:place] = draw.randbytes(draw.randrange(1, 100))
        else:
            changed[place : place + 4] = b"\xff\xff\xff\x7f"
        yield (
            ("", "changed", "with bytes between", f"with 0x7fffffff at {place}")[kind] + f" ({number})",
            bytes(changed),
        )


# ---- pictures --------------------------------------------------------------------------------------------------------
def pictures(folder: Path) -> Iterator[Case]:
    """Every format, damaged; sizes that are lies; texts and frames without end."""
    from ganzoo.media import images

    draw = random.Random(1)
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8))
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        for mode in ("RGB", "L", "P", "RGBA") if kind in ("PNG", "TIFF") else ("RGB", "L"):
            stream = io.BytesIO()
            rgb.convert(mode).save(stream, kind)
            for what, data in damaged(stream.getvalue(), draw, 12):
                yield f"{kind} {mode} {what}", lambda data=data: images.read_image(data)
    for side in (2**31 - 1, 100_000, 30_000):
        yield f"PNG that says {side} px", lambda side=side: images.read_image(_png(side, side))
        for kind, at, form in (("BMP", 18, "<ii"), ("GIF", 6, "<HH")):
            stream = io.BytesIO()
            rgb.save(stream, kind)
            data = bytearray(stream.getvalue())
            struct.pack_into(form, data, at, *[side if form == "<ii" else min(side, 65535)] * 2)
            yield f"{kind} that says {side} px", lambda data=bytes(data): images.read_image(data)
    yield (
        "PNG with a text of 30 MB",
        lambda: images.read_image(_png(4, 4, b"zTXt" + b"k\0\0" + zlib.compress(bytes(3 * 10**7)))),
    )
    yield "PNG with 50,000 texts", lambda: images.read_image(_png(4, 4, *[b"tEXtk\0v"] * 50_000))
    yield "PNG of 8,000 px and 16 bits", lambda: images.read_image(_png(8000, 8000, depth=16, rows=bytes(8000 * 48001)))
    for name, path in specials(folder).items():
        yield f"a picture that is {name}", lambda path=path: images.read_image(path)


def _png(width: int, height: int, *chunks: bytes, depth: int = 8, rows: bytes = b"") -> bytes:
    def chunk(body: bytes) -> bytes:
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(rows or bytes(4 * 13), 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (head, *chunks, body, b"IEND")))


def specials(folder: Path) -> dict[str, str]:
    """Names that lead to no regular file."""
    folder.mkdir(exist_ok=True)
    if not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")
        (folder / "loop").symlink_to("loop")
        (folder / "zero").symlink_to("/dev/zero")
        (folder / "empty").touch()
    named = {"a pipe": "pipe", "a link to itself": "loop", "a device": "zero", "empty": "empty", "not there": "none"}
    found = {what: str(folder / name) for what, name in named.items()} | {"a folder": str(folder)}
    odd = {"a NUL": "a\0b", "a surrogate": "a\ud800b", "too long": "n" * 5000, "of nobody": "~nouser_of_this_name/x"}
    return found | {f"a name that is {what}": name for what, name in odd.items()} | {"a process": "/proc/self/mem"}


# ---- zip files and folders -------------------------------------------------------------------------------------------
def data_sets(folder: Path) -> Iterator[Case]:
    """Zip files and folders as data of every shape."""
    from ganzoo import data
    from ganzoo.presets import DataConfig

    def opened(source, shape="images", **more):
        config = {"shape": shape, "source": str(source), "size": 16, "test_split": "test"} | more
        if shape == "voxels":
            config["channels"] = 1
        return lambda: len(data.open_source(DataConfig(**config)))

    draw, good = random.Random(2), _png_of(0)
    whole = _zip(folder / "whole.zip", {f"{i}.png": _png_of(i) for i in range(4)} | {"metadata.jsonl": b"{}"})
    for number, (what, content) in enumerate(damaged(whole.read_bytes(), draw, 60)):
        (folder / f"{number}.zip").write_bytes(content)
        yield f"zip {what}", opened(folder / f"{number}.zip")
    bomb = _zip(folder / "bomb.zip", {f"{i}.png": bytes(5 * 10**7) for i in range(2)}, zipfile.ZIP_DEFLATED)
    yield "zip of bombs", opened(bomb)
    many = _zip(folder / "many.zip", {f"{i}.png": b"" for i in range(20_000)})
    yield "zip of 20,000 empty pictures", opened(many)
    odd = (
        "../../x.png",
        "/etc/x.png",
        "a\0.png",
        "a\\..\\b.png",
        "\ud800.png",
        "a/" * 2000 + "x.png",
        "CON.png",
        "\x1b[2J.png",
    )
    for number, name in enumerate(odd):
        path = folder / f"odd{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for other in ("a.png", "b.png"):
                archive.writestr(other, good)
            try:
                archive.writestr(name, good)
            except (ValueError, UnicodeError):
                continue
        yield f"zip with {name!r:.30}", opened(path)
    tree = folder / "tree"
    tree.mkdir()
    for name in ("a.png", "b.png"):
        (tree / name).write_bytes(good)
    os.mkfifo(tree / "pipe.png")
    (tree / "zero.png").symlink_to("/dev/zero")
    (tree / "loop.png").symlink_to("loop.png")
    (tree / "up").symlink_to("..")
    (tree / "gone.png").symlink_to("nowhere")
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff\xfe.png")).write_bytes(good)
    (tree / "new\nline.png").write_bytes(good)
    for shape in ("images", "paired", "unpaired", "captions", "voxels"):
        yield f"folder of pipes, devices and loops as {shape}", opened(tree, shape)
    deep = folder / "deep"
    place = deep
    for _ in range(400):
        place = place / "d"
    os.makedirs(place)
    for name in ("a.png", "b.png"):
        (place / name).write_bytes(good)
    for shape in ("images", "paired", "unpaired", "captions"):
        yield f"folder 400 deep as {shape}", opened(deep, shape)
    for what, path in specials(folder / "specials").items():
        for shape in ("images", "voxels", "captions"):
            yield f"{shape} that are {what}", opened(path, shape)
    for size in (2**26, 2**40, 10**18):
        yield f"pictures of {size} px", opened(tree, size=size)
        yield f"shapes of {size} voxels", opened("furniture_voxels_32", "voxels", size=size)
    for split in ("train[0:999999999999]", "train[9:1]", "train[" + "9" * 5000 + ":]", "\0", "+" * 5000, "../x"):
        yield f"split {split:.30}", opened("fashion", split=split)
    for name in ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"):
        whole = b"\0\0\x08\x03" + struct.pack(">III", 4, 8, 8) + bytes(256)
        for number, (what, content) in enumerate(damaged(whole, draw, 16)):
            place = folder / f"{name}{number}"
            place.mkdir()
            (place / name).write_bytes(content)
            yield f"{name} {what}", opened(place)


def _png_of(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (number * 40 % 256, 9, 77)).save(stream, "PNG")
    return stream.getvalue()


def _zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


# ---- arrays and weights ----------------------------------------------------------------------------------------------
def arrays(folder: Path) -> Iterator[Case]:
    """npz, safetensors and PyTorch files, as data, as weights, as a cache."""
    from ganzoo import importers, weights
    from ganzoo.data.sources import grids
    from ganzoo.metrics.frechet import Moments

    readers = {
        ".npz": (importers.read_state, lambda path: grids.read_npz(path, "it"), Moments.load),
        ".safetensors": (importers.read_state, weights.read),
        ".pth": (importers.read_state,),
    }
    draw, number = random.Random(3), 0

    def cases(suffix: str, what: str, content: bytes):
        nonlocal number
        number += 1
        path = folder / f"{number}{suffix}"
        path.write_bytes(content)
        for read in readers[suffix]:
            yield f"{suffix} {what}", partial(read, path)

    stream = io.BytesIO()
    np.savez(stream, voxels=np.ones((2, 4, 4, 4), bool), mean=np.zeros(3), covariance=np.eye(3), n=np.array(5))
    for what, content in damaged(stream.getvalue(), draw, 60):
        yield from cases(".npz", what, content)
    for what, array in {"of objects": np.array([{}], object), "of bombs": np.zeros(3 * 10**8, np.uint8)}.items():
        stream = io.BytesIO()
        np.savez_compressed(stream, voxels=array)
        yield from cases(".npz", what, stream.getvalue())
    for shape in ((2**40,), (2**31, 2**31), (-1,), (10**30,)):
        yield from cases(".npz", f"that says {shape}", _claims(shape))
    header = {"a/b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    whole = _safetensors(header, bytes(8))
    for what, content in damaged(whole, draw, 40):
        yield from cases(".safetensors", what, content)
    lies = {
        "that says a header of 2**62": struct.pack("<Q", 2**62) + whole[8:],
        "with deep words": struct.pack("<Q", 10**5) + b"[" * 10**5,
        "of overlapping parts": _safetensors(header | {"c": header["a/b"]}, bytes(8)),
        "of a huge shape": _safetensors(
            {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, bytes(8)
        ),
        "of NaN": _safetensors(header, struct.pack("<ff", float("nan"), 1)),
        "of offsets that fall": _safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, bytes(8)),
    }
    for what, content in lies.items():
        yield from cases(".safetensors", what, content)
    pickles = (
        b"cos\nsystem\n(S'touch mark'\ntR.",
        b"\x80\x04" + b"(" * 10_000 + b".",
        b"\x80\x04]" * 5_000,
        b"\x80\x04\x8e" + b"\xff" * 8,
    )
    for content in pickles:
        yield from cases(".pth", f"of {content[:12]!r}", content)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("x/data.pkl", content)
        yield from cases(".pth", f"packed, of {content[:12]!r}", stream.getvalue())
    for what, path in specials(folder / "specials").items():
        for suffix, functions in readers.items():
            for read in functions:
                yield f"{suffix} that is {what}", lambda read=read, path=path: read(path)
    yield "code that ran", lambda: "a pickle ran" if Path("mark").exists() else None


def _claims(shape: tuple[int, ...]) -> bytes:
    text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("voxels.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64))
    return stream.getvalue()


def _safetensors(header: dict, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


# ---- shapes ----------------------------------------------------------------------------------------------------------
def shapes(folder: Path) -> Iterator[Case]:
    """binvox, OFF, OBJ, STL and GLB files, damaged and lying."""
    import trimesh

    from ganzoo.data.sources import grids

    os.environ["GANZOO_CACHE"] = str(folder)  # voxelised meshes are kept
    draw, box = random.Random(4), trimesh.creation.box()
    good = {f".{kind}": box.export(file_type=kind) for kind in ("off", "obj", "stl", "glb")}
    good = {suffix: data.encode() if isinstance(data, str) else data for suffix, data in good.items()}
    good[".binvox"] = b"#binvox 1\ndim 8 8 8\ntranslate 0 0 0\nscale 1\ndata\n" + b"\1\xff\1\xff\1\2"
    for suffix, data in good.items():
        for what, content in damaged(data, draw, 40):
            yield f"{suffix} {what}", lambda c=content, s=suffix: grids.read_grid(c, f"x{s}", 8)
    far = b"OFF\n4 2 0\n0 0 0\n1e30 0 0\n0 1e-30 0\n0 0 1\n3 0 1 2\n3 1 2 3\n"
    lies = {
        ".off": (b"OFF\n1000000000 1000000000 0\n", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n", b"OFF\n" + b"9" * 5000, far, b"OFF\nnan inf 0"),
        ".obj": (b"v 1e999 0 0\n" * 3 + b"f 1 2 3\n", b"f 1 2 3\n", b"v 0 0 0\n" * 3 + b"f 1 2 -99999999999999999999\n", b"mtllib /dev/zero\nv 0 0 0\n"),
        ".stl": (bytes(80) + b"\xff\xff\xff\xff", b"solid" + b" facet" * 10_000, bytes(84)),
        ".binvox": (
            b"#binvox 1\ndim 100000 100000 100000\ndata\n", b"#binvox 1\ndim 0 0 0\ndata\n", b"#binvox 1\n" + b"x" * 10**6,
            b"#binvox 1\ndim " + b"9" * 5000 + b" 8 8\ndata\n", b"#binvox 1\ndata\n",
        ),
        ".glb": tuple(map(_glb, GLB)),
    }  # fmt: skip
    for suffix, contents in lies.items():
        for number, content in enumerate(contents):
            yield f"{suffix} that lies ({number})", lambda c=content, s=suffix: grids.read_grid(c, f"x{s}", 8)
    yield "shapes of 2**20 voxels a side", lambda: grids.read_grid(good[".off"], "x.off", 512)


MESH = {
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "nodes": [{"mesh": 0}],
    "scenes": [{"nodes": [0]}],
}
GLB = (
    MESH | {"accessors": [{"count": 10**9, "type": "VEC3", "componentType": 5126}]},
    MESH | {"accessors": [{"count": -1, "type": "VEC3", "componentType": 5126}]},
    MESH | {"accessors": [{"count": 3, "type": "VEC9", "componentType": 5126}]},
    {"nodes": [{"children": [0]}], "scenes": [{"nodes": [0]}], "scene": 0},
    {"buffers": [{"byteLength": 10**12, "uri": "file:///dev/zero"}], "asset": {"version": "2.0"}},
    {"buffers": [{"byteLength": 8, "uri": "http://127.0.0.1:9/x"}], "asset": {"version": "2.0"}},
    MESH | {"accessors": [], "nodes": [{"mesh": 10**9}]},
    [],
    {"asset": DEEP[2]},
)


def _glb(scene) -> bytes:
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text), len(text), b"JSON") + text


# ---- texts -----------------------------------------------------------------------------------------------------------
def texts(folder: Path) -> Iterator[Case]:
    """TOML, JSON, JSON lines, CSV and settings of the command line."""
    from ganzoo import data, files, presets, zoo
    from ganzoo.cli.train import parse_setting
    from ganzoo.data.sources import grids  # noqa: F401  (so that its import is in nobody's time)
    from ganzoo.devices import strategies
    from ganzoo.explore import points
    from ganzoo.exporting import manifest
    from ganzoo.presets import DataConfig, metric_names
    from ganzoo.runs import changes, log

    number = 0

    def written(name: str, content: str | bytes) -> Path:
        nonlocal number
        number += 1
        path = folder / str(number) / name
        path.parent.mkdir()
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    def captions(name: str, content: str | bytes):
        path = written(name, content)
        for i in range(3):
            (path.parent / f"{i}.png").write_bytes(_png_of(i))
        config = DataConfig(shape="captions", source=str(path.parent), size=16)
        return lambda: len(data.open_source(config).texts.strings)

    class Model:
        paper, weights_source = "gan", "bundled:0"

    for word in (*WORDS, b"\xff\xfe", b"\xef\xbb\xbf{}", "x" * 10**6):
        what = f"{word[:12]!r} ({len(word)})"
        for name in ("results.jsonl", "point.json", "log.jsonl", "changes.jsonl", "data.json"):
            path = written(name, word)
            read = {
                "results.jsonl": metric_names.read,
                "point.json": lambda path: points.read_latent(points.points(path)[0], Model),
                "log.jsonl": lambda path: log.kept_rows(path, 4, "seconds"),
                "changes.jsonl": lambda path: changes.read(path.parent),
                "data.json": log.read_json,
            }[name]
            yield f"{name} {what}", lambda read=read, path=path: read(path) and None
        path = written("manifest.json", word)
        (path.parent / "config.toml").write_text('name = "gan"\n', "utf-8")
        yield f"manifest.json {what}", lambda path=path: zoo.load(path.parent)
        (path.parent / "assets.extra").mkdir()
        path.rename(path.parent / "assets.extra" / path.name)
        yield f"manifest of an export {what}", lambda path=path: manifest.read(path.parent) and None
        yield f"metadata.jsonl {what}", captions("metadata.jsonl", word)
        yield f"metadata.csv {what}", captions("metadata.csv", word)
        yield f"run.toml {what}", partial(presets.run_config, written("run.toml", word))
        if isinstance(word, str):
            yield f"--set {what}", lambda word=word: parse_setting(f"model.ngf={word}") and None
            yield f"TF_CONFIG {what}", lambda word=word: strategies._read(word)
    point = {"format": points.FORMAT, "space": "z", "model": "gan", "weights": "bundled:0"}
    for latent in ([1e999], [[1]], [[[1], 2]], "x", None, {}, [None], ["a"], [10**18] * 10**5, [True], []):
        path = written("point.json", json.dumps(point | {"latent": latent}))
        yield f"point {latent!r:.20}", lambda path=path: points.read_latent(points.points(path)[0], Model) and None
    rows = (
        '{"metric": "l1_n8_test", "value": 1e999}', '{"metric": 1, "value": 1}', '{"metric": [], "value": 1}',
        '{"metric": "l1_n8_test", "value": true}', '{"metric": "l1_n8_test", "value": 1, "std": []}',
        '{"metric": "' + "_" * 10**5 + '", "value": 1}', '{"metric": "fid' + "9" * 5000 + '_a_b_c", "value": 1}',
        '{"metric": "l1_n' + "9" * 5000 + '_c", "value": 1, "model": {"a": []}}',
    )  # fmt: skip
    for row in rows:
        path = written("results.jsonl", row)
        yield f"results {row:.40}", lambda path=path: metric_names.compare_all(*[metric_names.read(path)] * 2) and None
    lines = (
        '{"file_name": "0.png", "text": {}}', '{"file_name": [], "text": "a"}', '{"file_name": "' + "../" * 5000 + '", "text": "a"}',
        '{"file_name": "0.png", "text": "a", "embedding": [1e999]}', '{"file_name": "0.png", "text": "a", "embedding": [[[1]]]}',
        '{"file_name": "\\u0000", "text": "\\ud800"}', '{"file_name": "0.png", "text": ["' + "a " * 10**5 + '"]}',
    )  # fmt: skip
    for row in lines:
        yield f"metadata.jsonl {row:.50}", captions("metadata.jsonl", row)
    for row in (
        'file_name,text\n0.png,"a',
        "file_name,text\n" + "," * 10**5,
        "a,b\n",
        "file_name,text\n0.png," + "x" * 10**6,
        "\0,\0\n",
    ):
        yield f"metadata.csv {row:.30}", captions("metadata.csv", row)
    base = 'extends = "gan/fashion-28"\n'
    tables = (
        f"[train]\nsteps = {2**63 - 1}", "[train]\nbatch_size = 1e999", "[train]\nseed = -1", f"[train]\nseed = {2**70}",
        "[model]\nhidden = 1e999", "[model]\nhidden = []", "[data]\nsource = 5", "[data]\nsource = \"\\u0000\"", "[x]", "model = 5",
        "data.size = nan", "[train.g_optimizer]\nlearning_rate = inf", "[train.g_optimizer]\nlearning_rate = nan", "[train]\nseed = true",
        ".".join(["a"] * 20_000) + " = 1", "[" + ".".join(["a"] * 20_000) + "]", "a = " + "[" * 5000, '"\\ud800" = 1', "d = 1979-05-27",
        "\n".join(f"[t{i}]" for i in range(100_000)),
    )  # fmt: skip
    for table in tables:
        yield f"run.toml {table[:30]!r}", partial(_built, written("run.toml", base + table))
    for what, path in specials(folder / "specials").items():
        for name, read in {
            "results": metric_names.read,
            "TOML": lambda p: presets.run_config(f"{p}.toml"),
            "JSON": files.read_json,
        }.items():
            yield f"{name} that are {what}", lambda read=read, path=path: read(path)


def _built(path: Path) -> None:
    from ganzoo import presets, zoo

    zoo.build(presets.run_config(path))


# ---- commands --------------------------------------------------------------------------------------------------------
def commands(folder: Path) -> Iterator[Case]:
    """Words after `ganzoo`: numbers, names and paths that no machine has. Each ends with code 2 and one sentence."""
    special, out = specials(folder / "specials"), str(folder / "out")
    picture = folder / "picture.png"
    picture.write_bytes(_png_of(3))
    huge = ("99999999999999999999999", str(2**70), "1e999", "-1", "nan", "9" * 5000)
    lines = [["sample", "gan", "-o", f"{out}.png", "--seed", number] for number in huge]
    lines += [["sample", "gan", "-o", f"{out}.png", "-n", number] for number in huge]
    lines += [["sample", "gan", "-o", f"{out}.png", "--columns", number] for number in huge[3:]]
    lines += [
        ["train", "gan", "-o", out, option, number]
        for option in ("--steps", "--batch-size", "--seed")
        for number in huge
    ]
    lines += [["evaluate", "gan", "--seed", number, "-n", "2"] for number in huge[:2]]
    lines += [["demo", "-o", out, option, number] for option in ("--seed", "--steps") for number in huge]
    lines += [["explore", "walk", "gan", number, "-o", f"{out}.gif"] for number in huge]
    settings = (
        "model.hidden=1000000000", "model.hidden=999999999999999999", "model.latent_dim=4000000000", "model.hidden=1e999", "model.hidden=nan",
        f"train.batch_size={10**18}", f"train.batch_size={10**10}", f"data.size={10**9}", f"model.image_size={2**26}", f"data.size={10**18}",
        "model.ema_decay=1e308", "model.ema_decay=-1e999", "train.g_optimizer.learning_rate=1e999", "model.hidden=" + DEEP[0],
        "model.hidden=" + "9" * 5000, "=1", "a", "\0=\0", "\ud800=1", "." * 10_000 + "=1", "train.seed=" + str(2**70), "train.seed=" + str(2**31),
        f"train.metric_n={10**18}", f"train.accumulate={10**18}", f"train.steps_per_execution={10**18}", "train.lr_multipliers={a=1e999}",
        "data.source=/dev/zero", "data.source=~nouser_of_this_name", "data.split=" + "a+" * 10_000, "model.maxout_pieces=0", "model.hidden=-5",
    )  # fmt: skip
    lines += [["train", "gan", "-o", out, "--steps", "1", "--set", setting] for setting in settings]
    for path in special.values():
        lines += [
            ["sample", path, "-o", f"{out}.png"], ["sample", "pix2pix", "--input", path, "-o", f"{out}.png"],
            ["sample", "gan", "--weights", path, "-o", f"{out}.png"], ["train", path, "-o", out], ["train", f"{path}.toml", "-o", out],
            ["train", "gan", "--data", path, "-o", out], ["export", path, "-o", out], ["card", path],
            ["import", "dcgan", path, "-o", out], ["evaluate", "--compare", path, path], ["evaluate", path, "--against", path],
            ["serve", path, "--port", "0"], ["finetune", path, "-o", out, "--steps", "1"],
        ]  # fmt: skip
        if path != special["a folder"]:  # without pictures: a finding, code 0
            lines.append(["data", "check", path])
        if "not there" not in path and path != special["not there"]:
            lines += [["sample", "gan", "-o", path, "-n", "1"]] if path.endswith(("pipe", "loop", "zero")) else []
    lines += [["sample", "pix2pix", "--input", str(picture), "-o", "a\0b.png"], ["sample", "gan", "-o", "\ud800.png"]]
    lines += [["serve", "gan", "--port", number] for number in huge] + [
        ["list", "--nothing"],
        ["\0"],
        ["\ud800"],
        ["--seed"],
    ]
    for words in lines:
        yield " ".join(words)[:70].encode("utf-8", "backslashreplace").decode(), lambda words=words: _refused(words)


def _refused(words: list[str]) -> str | None:
    """What is wrong with how a command ends."""
    import contextlib

    from ganzoo.cli import app

    said, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        code = app(words, standalone_mode=False)
    text = said.getvalue()
    if "Traceback" in text or "fault in ganzoo" in text:
        return f"a traceback: {text[-300:]}"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "cannot be printed"
    if code != 2:
        return f"code {code}: {text[-300:] or printed.getvalue()[-300:]}"
    return None if "Error: " in text and len(text) <= LONGEST + 100 else f"no sentence: {text[-300:]}"


GROUPS: dict[str, Callable[[Path], Iterator[Case]]] = {
    "pictures": pictures,
    "zip files and folders as data": data_sets,
    "npz, safetensors, pickles": arrays,
    "shapes": shapes,
    "TOML, JSON, CSV, settings": texts,
    "commands": commands,
}
