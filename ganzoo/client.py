"""A small client for served models: `ganzoo serve`, TensorFlow Serving, and what else speaks its REST contract.

    from ganzoo.client import Client

    client = Client("http://127.0.0.1:8501")
    pictures = client.generate("dcgan", seed=[0, 1, 2])                       # a list of uint8 (H, W, C)
    filled = client.generate("context-encoder", images=["photo.png"], masks=["hole.png"])
    coloured = client.generate("pix2pix", images=["drawing.png"])             # paths, bytes, Pillow images or arrays
    older = client.generate("age-cgan", images=["face.png"], age=60)
    described = client.generate("text-to-image", texts=["long pink hair"])
    asked = client.generate("biggan", label=["Bag", "Sandal"])                # by name, or by number
    characters = client.generate("anime", seed=[0, 1], attributes={"hair": "pink", "glasses": True})
    floats = client.predict("dcgan", inputs={"latents": latents.tolist()}, signature="tensors")

It needs httpx (`pip install 'ganzoo[serve]'`) and no TensorFlow.
"""

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganzoo.errors import GanzooError, missing_extra
from ganzoo.media import images as pictures


class ServerError(GanzooError):
    """What a server refused, in its own words. `status` is HTTP's, None if no answer came; `retry_after` in seconds."""

    def __init__(self, sentence: str, status: int | None = None, retry_after: float | None = None):
        super().__init__(sentence)
        self.status, self.retry_after = status, retry_after


class Client:
    """Talks to one server; a context manager, closed by `close()` too.

    Args:
        url: such as "http://127.0.0.1:8501".
        api_key: what the server was started with.
        timeout: seconds to wait for an answer.

    Raises:
        GanzooError: httpx is not installed.
    """

    def __init__(self, url: str, api_key: str | None = None, *, timeout: float = 60.0):
        try:
            import httpx
        except ModuleNotFoundError as error:
            raise missing_extra("httpx", "serve") from error
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise GanzooError(f'"{url}" is not the URL of a server, such as http://127.0.0.1:8501.')
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self.http.close()

    def models(self) -> list[dict]:
        """What a `ganzoo serve` offers: name, task, signatures, licence of each model."""
        return self._ask("GET", "/models.json")

    def status(self, model: str) -> list[dict]:
        """The versions of a model and their state, "AVAILABLE" if it answers."""
        return self._ask("GET", _path(model))["model_version_status"]

    def ready(self, model: str) -> bool:
        """Whether the model answers; False for one that is unknown or still loads. KServe's form is understood too."""
        try:
            answer = self._ask("GET", _path(model))
        except ServerError as error:
            if error.status in (404, 503):
                return False
            raise
        if "ready" in answer:
            return bool(answer["ready"])
        return any(version["state"] == "AVAILABLE" for version in answer["model_version_status"])

    def metadata(self, model: str) -> dict:
        """The model's signatures as TensorFlow Serving describes them."""
        return self._ask("GET", f"{_path(model)}/metadata")["metadata"]

    def predict(
        self,
        model: str,
        *,
        instances: Sequence | None = None,
        inputs: Any = None,
        signature: str | None = None,
        version: int | None = None,
    ) -> Any:
        """The contract's call, with what stands under `predictions` or `outputs` in its answer as result.

        `instances` are rows, and the result is a list with a value for each: the only output of the signature, or a dict
        by output. `inputs` are columns, and the result is the only output's list of rows, or a dict of such lists.
        Values are JSON's; bytes are `{"b64": text}`.

        Raises:
            ServerError: the server refused, or did not answer.
        """
        if (instances is None) == (inputs is None):
            raise GanzooError("predict takes either instances=, a list of rows, or inputs=, a column for each input.")
        document = {"instances": instances} if inputs is None else {"inputs": inputs}
        if signature is not None:
            document["signature_name"] = signature
        answer = self._ask("POST", f"{_path(model, version)}:predict", json=document)
        return answer["predictions" if inputs is None else "outputs"]

    def generate(
        self,
        model: str,
        *,
        seed: int | Sequence[int] = 0,
        images: Sequence | None = None,
        masks: Sequence | None = None,
        texts: Sequence[str] | None = None,
        label: str | int | Sequence[str] | Sequence[int] | None = None,
        age: float | Sequence[float] | None = None,
        attributes: Mapping | Sequence[Mapping] | None = None,
        signature: str | None = None,
        **more: float | Sequence[float],
    ) -> list[np.ndarray]:
        """Pictures of a signature that gives `image_bytes`, uint8 (H, W, C), each of its own size.

        Args:
            seed: one for all rows, or one for each. Without images and texts it says how many pictures there are.
            images: for image models: paths, encoded bytes, Pillow images, or uint8 arrays.
            masks: for models that fill holes: pictures as large as `images`, in the same forms, white in the hole; such
                models take no seed.
            texts: for text-to-image.
            label: of models with classes, such as biggan: one for all, or one a row; names ask the signature `by_name`.
            age: years, for models that show faces at other ages, one for all images or one for each; such models take no seed.
            attributes: for models that are asked for them: one mapping for all rows, or one for each.
            signature: another than the default one, such as "b2a" of cyclegan.
            more: other inputs of the signature by name, such as truncation_psi=0.7; one value, or one for each row.

        Raises:
            ServerError: the server refused, or did not answer.
            GanzooError: a picture that cannot be read, or columns of unequal length.
        """
        columns: dict[str, Any] = more if masks is not None or age is not None else {"seed": seed, **more}
        if age is not None:
            columns["age"] = age
        if images is not None:
            columns["image_bytes"] = [{"b64": base64.b64encode(_bytes(image)).decode()} for image in images]
        if masks is not None:
            columns["mask_bytes"] = [{"b64": base64.b64encode(_bytes(_mask(mask))).decode()} for mask in masks]
        if texts is not None:
            columns["text"] = [texts] if isinstance(texts, str) else list(texts)
        if label is not None:
            given = [label] if isinstance(label, str) or not isinstance(label, Sequence | np.ndarray) else list(label)
            named = all(isinstance(one, str) for one in given)
            signature = signature or ("by_name" if named else None)
            columns["label_name" if named else "label"] = given[0] if len(given) == 1 else given
        if attributes is not None:
            asked = [json.dumps(one) for one in ([attributes] if isinstance(attributes, Mapping) else attributes)]
            columns["attributes"] = asked[0] if isinstance(attributes, Mapping) else asked
        answer = self.predict(model, instances=_rows(columns), signature=signature)
        return [_picture(value) for value in answer]

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        import httpx

        try:
            response = self.http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise ServerError(f"{self.url} did not answer in time.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerError(f"No answer from {self.url}: {error}. Is the server running?") from error
        try:
            document = response.json()
        except ValueError:
            document = None
        if response.is_success and document is not None:
            return document
        if isinstance(document, dict) and "error" in document:
            sentence = str(document["error"])
        else:
            sentence = "the answer is not JSON; is this a model server?"
        wait = response.headers.get("retry-after", "")
        raise ServerError(
            f"{self.url}{path} answered {response.status_code}: {sentence}",
            response.status_code,
            float(wait) if wait.isdecimal() else None,
        )


def _path(model: str, version: int | None = None) -> str:
    if not model or set(model) & set("/:?#% "):
        raise GanzooError(f'"{model}" is not a name of a served model; a preset such as a/b is served as a-b.')
    return f"/v1/models/{model}" + (f"/versions/{version}" if version is not None else "")


def _rows(columns: Mapping[str, Any]) -> list[dict]:
    """One object a row; a column that is one value is in every row."""
    lists = {
        name: list(values)
        for name, values in columns.items()
        if isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    }
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise GanzooError(f"The columns have unequal lengths: {lengths}.")
    count = next(iter(lengths.values()), 1)
    columns = {name: lists.get(name, [value] * count) for name, value in columns.items()}
    rows = zip(*columns.values(), strict=True)
    return [
        {k: v.item() if isinstance(v, np.generic) else v for k, v in zip(columns, row, strict=True)} for row in rows
    ]


def _bytes(image: Any) -> bytes:
    """An encoded picture of a path, bytes, a Pillow image or a uint8 array."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | os.PathLike):
        return pictures.read_file(image)
    if hasattr(image, "save"):
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise GanzooError(f"A picture is uint8 (H, W, C); received {array.dtype} {array.shape}.")
    return pictures.png_bytes(array[..., None] if array.ndim == 2 else array)


def _mask(mask: Any) -> Any:
    """The same; a bool array (H, W) as uint8."""
    array = mask if isinstance(mask, np.ndarray) else None
    return np.where(array, np.uint8(255), np.uint8(0)) if array is not None and array.dtype == bool else mask


def _picture(value: Any) -> np.ndarray:
    """uint8 (H, W, C) of one answer of `serving_default`."""
    if isinstance(value, dict) and "image_bytes" in value:
        value = value["image_bytes"]
    if not isinstance(value, dict) or "b64" not in value:
        raise GanzooError("This signature gives no pictures; call predict.")
    return pictures.read_image(base64.b64decode(value["b64"]))
