"""EfficientNet-Lite0 (ImageNet), the default extractor: bundled, 4.65 million parameters, 1,280 features of 224 x 224 RGB.

Tan and Le 2019, arXiv 1905.11946, in the Lite variant of the official repository: no squeeze-and-excitation, ReLU6 for
swish. Layers and preprocessing are read from the sidecar of the weights. Scores on these features carry the extractor's
name: they are no FID of the papers, which is on Inception v3.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import weights
from ganzoo.metrics.features.network import ASSETS, Network


def load() -> Network:
    """The network from the bundled weights, whose sha256 the sidecar states."""
    arrays, about, sha256 = weights.read_stated(ASSETS / "efficientnet_lite0.safetensors")
    model = build(about["architecture"], arrays, about["batch_norm"]["epsilon"], about["size"])

    def forward(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return model((tf.cast(images, tf.float32) - 127.0) / 128.0, training=False)

    return Network(size=about["size"], channels=3, sha256=sha256, resize="lanczos", forward=forward)


def build(architecture: list[dict], arrays: dict[str, np.ndarray], epsilon: float, size: int = 224) -> keras.Model:
    """The layers of the table as a functional model: normalised images (N, size, size, 3) -> (features, logits).

    Every batch norm is folded into the convolution before it, which at fixed statistics is the same function.
    """
    tensors = {name: value.astype(np.float32) for name, value in arrays.items()}
    inputs = keras.Input((size, size, 3), name="images")
    x, features = inputs, None
    for row in architecture:
        if row["op"] == "conv":
            x = _convolution(x, tensors, row["weights"], row["bn"], epsilon, row["stride"])
            x = layers.ReLU(6.0, name=f"{row['weights']}_relu6")(x)
        elif row["op"] == "mbconv":
            x = _block(x, tensors, row, epsilon)
        elif row["op"] == "global_average_pool":
            x = features = layers.GlobalAveragePooling2D(name="features")(x)
        else:
            kernel, bias = tensors[f"{row['weights']}.weight"], tensors[f"{row['weights']}.bias"]
            x = _filled(layers.Dense(len(bias), name="logits"), x, kernel, bias)
    return keras.Model(inputs, [features, x], name="efficientnet_lite0")


def _block(x, tensors: dict, row: dict, epsilon: float):
    """An inverted bottleneck: the sidecar's `order` names each convolution, the batch norm after it, then the activation."""
    start, order = x, row["order"]
    for place, name in enumerate(order):
        if name.endswith("_conv"):
            stride = row["stride"] if name == "_depthwise_conv" else 1
            x = _convolution(x, tensors, row["prefix"] + name, row["prefix"] + order[place + 1], epsilon, stride)
        elif name == "relu6":
            x = layers.ReLU(6.0, name=f"{row['prefix']}{place}_relu6".replace(".", "_"))(x)
    return layers.Add(name=f"{row['prefix']}add".replace(".", "_"))([start, x]) if row["residual"] else x


def _convolution(x, tensors: dict, name: str, norm: str, epsilon: float, stride: int):
    """Convolution and batch norm as one convolution with a bias; `same` padding, as TensorFlow pads."""
    kernel = tensors[f"{name}.weight"]
    scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + epsilon)
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    options = {"strides": stride, "padding": "same", "name": name.replace(".", "_")}
    if kernel.shape[-1] == 1:  # depthwise: (height, width, channels, 1)
        return _filled(layers.DepthwiseConv2D(kernel.shape[:2], **options), x, kernel * scale[:, None], bias)
    return _filled(layers.Conv2D(kernel.shape[-1], kernel.shape[:2], **options), x, kernel * scale, bias)


def _filled(layer: layers.Layer, x, kernel: np.ndarray, bias: np.ndarray):
    out = layer(x)
    layer.set_weights([kernel, bias])
    return out
