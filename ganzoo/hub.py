"""Models of other people and for other people: the Hub (`hf://user/name`), https with a sha256, and fsspec URLs.

Only what a user names is fetched, and what was fetched is kept: of the Hub in the cache of huggingface_hub (resumed, and asked
for nothing in its offline mode), else in GANZOO_CACHE. A fetched folder is a model folder like any other: it is read and runs
no code, and its weights must have the sha256 that its manifest says.
"""

import contextlib
import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ganzoo import files, presets
from ganzoo.errors import GanzooError, first_line, missing_extra
from ganzoo.files import shown
from ganzoo.presets import RunConfig, Weights, licences

HUB = "hf://"
WEB = ("http://", "https://")
MANIFEST, CONFIG, CARD = "manifest.json", "config.toml", "README.md"
SMALL = 2**20  # bytes of a manifest or config
LARGEST = 2**34  # bytes of weights
SECONDS = 30  # that a server may be silent
SHA256 = re.compile("[0-9a-f]{64}")
PIPELINES = {"latent": "unconditional-image-generation", "image": "image-to-image", "text": "text-to-image"}
HUB_LICENCES = {"MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-3.0"}


def is_address(name: Any) -> bool:
    """Whether a name of a model is an address: `hf://user/name`, `https://...`, `file://...`, `s3://...`."""
    return isinstance(name, str) and "://" in name


def fetch(
    address: str,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    weights: bool = True,
    before: Callable[[dict], None] | None = None,
) -> Path:
    """The local model folder of an address: manifest and config first, then the weights that the manifest names.

    Args:
        revision: of the Hub: a branch, a tag or a commit; "hf://user/name@v1" says it too.
        sha256: that the weights must have; https needs it.
        weights: without, the weights are not fetched.
        before: called with the manifest before the weights are fetched; what it raises ends the fetching.

    Raises:
        GanzooError: unknown scheme, no network, nothing there, no token, a torn download, or another sha256.
    """
    read = _hub_reader(address, revision) if address.startswith(HUB) else _url_reader(address, revision)
    if address.startswith(WEB) and sha256 is None:
        raise GanzooError(
            f'{address} may be changed by anyone who holds it: give the sha256 of its weights, load(..., sha256="...").'
        )
    manifest_file = read(MANIFEST, SMALL)
    manifest = files.parse_json(files.read_bytes(manifest_file, SMALL), f"{address}/{MANIFEST}")
    name, said = _named_weights(manifest, address)
    if sha256 is not None and sha256 != said:
        raise GanzooError(f"The weights at {address} have the sha256 {said}, and {sha256} was asked for.")
    read(CONFIG, SMALL)
    if before is not None:
        before(manifest)
    if weights:
        read(name, min(LARGEST, int(manifest.get("bytes") or LARGEST)))
    return manifest_file.parent


def _named_weights(manifest: Any, address: str) -> tuple[str, str]:
    """Name and sha256 of the weights file in a manifest, which comes from anywhere."""
    manifest = manifest if isinstance(manifest, dict) else {}
    name, said = manifest.get("weights"), manifest.get("sha256")
    good = isinstance(name, str) and Path(name).name == name and name.endswith(".safetensors")
    if not good or not isinstance(name, str) or not isinstance(said, str) or not SHA256.fullmatch(said):
        raise GanzooError(
            f"{address} is not a model of ganzoo: its {MANIFEST} names no .safetensors file and its sha256."
        )
    if not isinstance(manifest.get("bytes", 1), int):
        raise GanzooError(f"{address}/{MANIFEST}: bytes is not a number.")
    return name, said


# ---- the Hub ---------------------------------------------------------------------------------------------------------
def repository(address: str, revision: str | None = None) -> tuple[str, str | None]:
    """(user/name, revision) of a Hub address. Raises GanzooError for another form."""
    name, at, said = address.removeprefix(HUB).strip("/").partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or (at and not said):
        raise GanzooError(f'"{address}" is not an address on the Hub: write hf://user/name or hf://user/name@revision.')
    if said and revision and said != revision:
        raise GanzooError(f'"{address}" says the revision {said}, and revision={revision} was given: give one.')
    return name, said or revision


def _hub_reader(address: str, revision: str | None) -> Callable[[str, int], Path]:
    name, revision = repository(address, revision)
    hub = _library()

    def read(file: str, limit: int) -> Path:
        with _sentences(address, file, revision):
            return Path(hub.hf_hub_download(name, file, revision=revision, library_name="ganzoo"))

    return read


def _library():
    try:
        import huggingface_hub
    except ImportError:
        raise missing_extra("huggingface_hub", "hub") from None
    return huggingface_hub


@contextlib.contextmanager
def _sentences(address: str, file: str, revision: str | None) -> Iterator[None]:
    """What the Hub's library raises, as one sentence each."""
    from huggingface_hub import errors

    transport: Any = errors.HfHubHTTPError.__bases__[0]  # of httpx, in the version that this client has
    login = "run `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except errors.GatedRepoError as error:
        raise GanzooError(f"{address} is gated: ask for access on its page, then {login}.") from error
    except errors.RepositoryNotFoundError as error:
        raise GanzooError(f"There is no model {address}, or it is private: check the name, or {login}.") from error
    except errors.RevisionNotFoundError as error:
        raise GanzooError(f'{address} has no revision "{revision}".') from error
    except errors.RemoteEntryNotFoundError as error:
        raise GanzooError(f"{address} is not a model of ganzoo: it has no {file}.") from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise GanzooError(
            f"{address} ({file}) is not in the cache, and the Hub cannot be reached: connect to the network, or unset HF_HUB_OFFLINE."
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise GanzooError(f"The Hub refuses {address}: {login} with a token that may do this.") from error
        raise GanzooError(f"The Hub answered {status} to {address} ({file}); try again later.") from error
    except (transport, OSError, ValueError) as error:
        raise GanzooError(f"{address} ({file}) could not be transferred: {first_line(error)}.") from error


def push(folder: Path, address: str, *, revision: str | None = None, private: bool = False) -> str:
    """Uploads a model folder (weights, config, manifest, and its card as README.md) to the Hub; returns the address of the
    commit. The repository, and a branch `revision`, are made if they are not there.

    Raises:
        GanzooError: no Hub address, damaged weights, no token, or the Hub refuses.
    """
    name, revision = repository(address, revision)
    hub = _library()
    manifest = files.read_json(folder / MANIFEST)
    weights, said = _named_weights(manifest, shown(folder))
    with open(folder / weights, "rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != said:
        raise GanzooError(f"{shown(folder / weights)} has not the sha256 that its {MANIFEST} says: it is damaged.")
    config = presets.run_config(folder / CONFIG)
    sent = [hub.CommitOperationAdd(file, str(folder / file)) for file in (weights, CONFIG, MANIFEST)]
    sent.append(hub.CommitOperationAdd(CARD, card(config, manifest, address).encode()))
    api = hub.HfApi(library_name="ganzoo")
    with _sentences(address, weights, revision):
        api.create_repo(name, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        done = api.create_commit(name, sent, commit_message=f"{config.full_name}, by ganzoo", revision=revision)
    return str(done.commit_url)


def card(config: RunConfig, manifest: dict, address: str) -> str:
    """The Hub's model card of a model folder: metadata as YAML, then what it is, how to load it, and how it was made."""
    paper = presets.read(config.name).paper
    passport = licences.of_manifest(manifest)
    known = passport.licence in HUB_LICENCES
    facts = {
        "library_name": "ganzoo",
        "license": passport.licence.lower() if known else "other",
        "license_name": None if known else passport.licence.replace(" AND ", "-and-").lower(),
        "pipeline_tag": PIPELINES[
            "text" if "text" in paper.task else "image" if "image to" in paper.task else "latent"
        ],
        "tags": ["ganzoo", "adversarial", "keras", config.name, f"arxiv:{paper.arxiv}"],
        "datasets_of_training": [config.data.source] if "/" not in config.data.source else None,
    }
    lines = ["---"]
    for key, value in facts.items():
        if isinstance(value, list):
            lines += [f"{key}:", *(f"- {_yaml(item)}" for item in value)]
        elif value is not None:
            lines.append(f"{key}: {_yaml(value)}")
    training = {key: manifest.get(key) for key in ("steps", "images", "seed", "seconds")}
    made = ", ".join(f"{key} {value:,}" for key, value in training.items() if isinstance(value, int | float))
    return "\n".join(
        [
            *lines,
            "---",
            "",
            f"# {config.full_name}",
            "",
            f"A model of ganzoo: **{paper.title}**, {paper.authors}, {paper.year} (arXiv {paper.arxiv}).",
            "",
            "```python",
            "import ganzoo",
            "",
            f'model = ganzoo.load("{address}")',
            "```",
            "",
            f"- Licence of the weights: {passport.licence}",
            *([f"- Attribution: {passport.attribution}"] if passport.attribution else []),
            *([f"- Training: {made}"] if made else []),
            f"- Data: {Path(config.data.source).name}, {config.data.size} px",
            f"- sha256 of the weights: `{manifest['sha256']}`",
            "",
        ]
    )


def _yaml(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z][\w.-]*(:[\w.-]+)?", text) else "'" + text.replace("'", "''") + "'"


def cached(record: Weights) -> Path | None:
    """The published weights file of a record on the Hub, if it was fetched before."""
    name, revision = repository(record.hub)
    try:
        kept = _library().try_to_load_from_cache(name, record.file, revision=revision)
    except GanzooError:  # without the package nothing has been fetched
        return None
    return Path(kept) if isinstance(kept, str) else None


def published(name: str, record: Weights | None, *, fetch: bool = False) -> Path:
    """The weights file of a preset that is on the Hub and not in the package: out of the cache, or fetched if that is asked for.

    Raises:
        GanzooError: it is not in the cache and was not asked for: what would be fetched, how large, under which licence; or
            there is no such file to fetch.
    """
    if record is None or not record.hub:
        raise GanzooError(
            f"{name} has no weights to fetch: " + ("it has none." if record is None else "they are in the package.")
        )
    if not fetch:
        if (kept := cached(record)) is not None:
            return kept
        raise GanzooError(
            f"The weights of {name} are not in the package. `ganzoo fetch {name}`, or load(..., fetch=True), brings {record.file} "
            f"({record.bytes / 1e6:,.1f} MB, {record.licence}) from {record.hub}."
        )
    file = _hub_reader(record.hub, None)(record.file, record.bytes)
    with open(file, "rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != record.sha256:
        raise GanzooError(f"{record.file} at {record.hub} has the sha256 {found}, and {name} wants {record.sha256}.")
    return file


# ---- other addresses -------------------------------------------------------------------------------------------------
def _url_reader(address: str, revision: str | None) -> Callable[[str, int], Path]:
    """Reads files of a URL into a folder of the cache."""
    from ganzoo.metrics.features import cache

    if revision is not None:
        raise GanzooError(f"{address} has no revisions: they are for hf:// addresses.")
    root = address.rstrip("/")
    folder = cache.folder() / "models" / hashlib.sha256(root.encode()).hexdigest()[:16]
    opened = _web if address.startswith(WEB) else _fsspec

    def read(file: str, limit: int) -> Path:
        target = folder / file
        if file.endswith(".safetensors") and target.is_file() and _has_its_hash(target):
            return target
        with opened(f"{root}/{file}") as source:
            data = source.read(limit + 1)
        if len(data) > limit:
            raise GanzooError(f"{root}/{file} is larger than the {limit:,} bytes that it may have.")
        files.write_bytes(target, data)
        return target

    return read


def _has_its_hash(weights: Path) -> bool:
    """Whether a weights file in the cache is the one that the manifest next to it, just fetched, means."""
    with open(weights, "rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    return found == files.read_json(weights.with_name(MANIFEST)).get("sha256")


@contextlib.contextmanager
def _web(url: str):
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        raise GanzooError(f"{url} answered {error.code} {error.reason}.") from error
    except (urllib.error.URLError, OSError) as error:
        raise GanzooError(f"{url} cannot be reached: {getattr(error, 'reason', error)}.") from error


@contextlib.contextmanager
def _fsspec(url: str):
    import fsspec  # tensorflow-datasets brings it

    try:
        with fsspec.open(url, "rb") as opened:
            yield opened
    except (ImportError, ValueError) as error:
        raise GanzooError(
            f"{url} cannot be opened: {error}. Known are hf://, https://, file:// and fsspec's."
        ) from error
    except OSError as error:
        raise GanzooError(f"{url} cannot be read: {error.strerror or error}.") from error
