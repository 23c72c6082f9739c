"""onnxruntime-web for an exported page: two files of its npm package, of one version, with one checksum."""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ganzoo.errors import GanzooError
from ganzoo.files import given_path
from ganzoo.metrics.features import cache

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# `npm view onnxruntime-web@1.30.0 dist.integrity`
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # plain WebAssembly, and no other backend
VARIABLE = "GANZOO_ORT_WEB"
ABOUT = f"Runs in this page with ONNX Runtime Web {VERSION} (Microsoft, MIT licence)."


def install(folder: Path) -> str:
    """Puts the files into the new folder `folder`, and gives the line that names them and their licence.

    They come from the packed package that GANZOO_ORT_WEB names (a .tgz of `npm pack`), from the cache, or from npm, which
    then fills the cache.

    Raises:
        GanzooError: there is no such file, it is another version, or npm is missing or fails.
    """
    packed = _packed()
    folder.mkdir()
    with tarfile.open(packed) as archive:
        for name in FILES:
            source = archive.extractfile(f"package/dist/{name}")
            if source is None:  # a link or a folder
                raise GanzooError(f"{packed} is not a package of {PACKAGE}: {name} is not a file.")
            with source, open(folder / name, "wb") as out:
                shutil.copyfileobj(source, out)
    return ABOUT


def _packed() -> Path:
    """The package's .tgz, its checksum looked at."""
    named = os.environ.get(VARIABLE)
    if named:
        path = given_path(named)
        if not path.is_file():
            raise GanzooError(
                f'{VARIABLE} names "{named}", which is not a file; npm pack {PACKAGE}@{VERSION} makes it.'
            )
    else:
        path = cache.folder() / f"{PACKAGE}-{VERSION}.tgz"
        if not path.is_file() or _digest(path) != SHA512:
            _fetch(path)
    if _digest(path) != SHA512:
        raise GanzooError(
            f"{path} is not {PACKAGE} {VERSION} as it was published: its SHA-512 differs. Make it by "
            f"npm pack {PACKAGE}@{VERSION}."
        )
    return path


def _fetch(path: Path) -> None:
    wanted = f"{PACKAGE}@{VERSION}"
    sentence = f"The page needs {wanted}, and npm could not fetch it"
    otherwise = f"Where npm can reach its registry, npm pack {wanted} makes a file; name it in {VARIABLE}."
    npm = shutil.which("npm")
    if npm is None:
        raise GanzooError(f"{sentence}: npm is not installed. {otherwise}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=path.parent) as scratch:
        command = [npm, "pack", wanted, "--silent", "--pack-destination", scratch]
        try:
            subprocess.run(command, cwd=scratch, check=True, capture_output=True, text=True, timeout=600)
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if line.strip()] or [f"exit code {error.returncode}"]
            raise GanzooError(f"{sentence}: {lines[0]} {otherwise}") from error
        except subprocess.TimeoutExpired as error:
            raise GanzooError(f"{sentence} in ten minutes. {otherwise}") from error
        os.replace(Path(scratch) / path.name, path)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
