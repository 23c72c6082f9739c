"""ONNX through tf2onnx: one file for each endpoint of floats, run by ONNX Runtime.

Layout stays NHWC. The first axis is called N and takes any number of rows. An output that has the name of an input is called
`<name>_out`, because a name stands for one tensor there. `float16` and `int8` are forms of the stored weights: 16-bit floats, or
8-bit integers with one scale for each output channel; the network widens them and computes in float32.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganzoo.base import BaseGAN
from ganzoo.devices.machine import cores
from ganzoo.errors import GanzooError, first_line, missing_extra
from ganzoo.exporting import portable

OPSET = 18  # of 2022; ONNX Runtime from 1.14 on, and onnxruntime-web
SMALL = 1024  # numbers: what is smaller stays float32
LARGEST = 100 * 2**20  # bytes of weights: tf2onnx 1.17 keeps copies of all, more than 22 GB of them for 217 MB


def write(model: BaseGAN, folder: Path, precision: str = "float32") -> list[Path]:
    """Writes `folder/<endpoint>.onnx` for every endpoint of `model.portable_signature()`.

    Raises:
        GanzooError: the extra is missing, or the network is too large for tf2onnx.
    """
    check_size(model)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, endpoint in portable.endpoints(model).items():
        proto = convert(endpoint)
        _pack(proto.graph, precision)
        proto.doc_string = f"{model.paper}, endpoint {name}, written by ganzoo"
        files.append(folder / f"{name}.onnx")
        files[-1].write_bytes(proto.SerializeToString(deterministic=True))
    return files


def check_size(model: BaseGAN) -> None:
    """Raises GanzooError for a network that tf2onnx has not the memory for."""
    size = 4 * model.sampler.count_params()
    if size > LARGEST:
        raise GanzooError(
            f"onnx cannot be written for {size / 1e6:.0f} MB of weights: tf2onnx keeps a hundred copies of them in memory. Up "
            f"to {LARGEST / 1e6:.0f} MB it can; litert has no such limit."
        )


def convert(endpoint: portable.Endpoint):
    """An endpoint as an ONNX ModelProto.

    Raises:
        GanzooError: the extra is missing.
    """
    try:
        import tf2onnx
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "tf2onnx", "onnx") from None
    signature = list(endpoint.inputs.values())
    function = tf.function(_renamed(endpoint), input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    for value in [*proto.graph.input, *proto.graph.output]:
        dimension = value.type.tensor_type.shape.dim[0]
        if not dimension.dim_value:
            dimension.dim_param = "N"
    return proto


def outer_name(endpoint: portable.Endpoint, output: str) -> str:
    """What an output is called in the file."""
    return f"{output}_out" if output in endpoint.inputs else output


def _renamed(endpoint: portable.Endpoint):
    return lambda *tensors: {outer_name(endpoint, key): value for key, value in endpoint.call(*tensors).items()}


class Network:
    """An endpoint's file in ONNX Runtime, on the cores of this process: arrays to arrays, by the names of the signature.

    Threads wait for the next call asleep: the default, to spin, costs other work of the machine more than it saves here.
    Memory that a call took is kept for the next one, of as many bytes as the largest call so far needed.

    Raises:
        GanzooError: the extra is missing, or ONNX Runtime cannot read the file.
        MemoryError: from a call, for which there was not the memory.
        RuntimeError: from a call, whatever else ONNX Runtime refuses, such as inputs of other names.
    """

    def __init__(self, file: Path):
        package = runtime()
        self.version = package.__version__
        options = package.SessionOptions()
        options.intra_op_num_threads = cores()  # by itself it counts those of the machine
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Its exceptions, which have no base of their own.
        of_package = vars(package.capi.onnxruntime_pybind11_state).values()
        self.failures = tuple(one for one in of_package if isinstance(one, type) and issubclass(one, Exception))
        try:
            self.session = package.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except self.failures as error:
            raise GanzooError(f"ONNX Runtime {self.version} cannot read {file}: {first_line(error)}") from error
        self.names = [output.name for output in self.session.get_outputs()]

    def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            made = self.session.run(self.names, inputs)
        except self.failures as error:
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise RuntimeError(f"ONNX Runtime {self.version} failed: {first_line(error)}") from error
        return {name.removesuffix("_out"): value for name, value in zip(self.names, made, strict=True)}


def runtime():
    """The package onnxruntime. Raises GanzooError where it is missing."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "onnxruntime", "onnx") from None
    return onnxruntime


def answers(folder: Path, endpoint: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime makes of `inputs`, by the names of the signature."""
    return Network(folder / f"{endpoint}.onnx")(inputs)


def _pack(graph, precision: str) -> None:
    """Stores the large weights of a graph in fewer bits, each with a node that widens it."""
    if precision == "float32":
        return
    from onnx import TensorProto, helper, numpy_helper

    packed = []
    for tensor, axis in list(_weights(graph)):
        array, name = numpy_helper.to_array(tensor), tensor.name
        if precision == "float16":
            parts = {f"{name}_16": array.astype(np.float16)}
            node = helper.make_node("Cast", list(parts), [name], to=TensorProto.FLOAT)
        else:
            others = tuple(i for i in range(array.ndim) if i != axis)
            scale = np.maximum(np.abs(array).max(axis=others), 1e-12) / 127
            wide = scale.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
            parts = {f"{name}_8": np.round(array / wide).astype(np.int8), f"{name}_scale": scale.astype(np.float32)}
            node = helper.make_node("DequantizeLinear", list(parts), [name], axis=axis)
        graph.initializer.remove(tensor)
        graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in parts.items())
        packed.append(node)
    nodes = [*packed, *graph.node]  # in the order in which they can be computed
    del graph.node[:]
    graph.node.extend(nodes)


def _weights(graph) -> Iterator[tuple]:
    """(float32 initializer, axis of its output channels) of every kernel that is worth packing."""
    from onnx import TensorProto

    kernels = {node.input[1]: node.op_type for node in graph.node if len(node.input) > 1}
    axes = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}
    for tensor in graph.initializer:
        axis = axes.get(kernels.get(tensor.name, ""))
        if axis is not None and tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= SMALL:
            yield tensor, axis
