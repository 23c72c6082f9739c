"""Names of the PatchGAN of github.com/junyanz/pytorch-CycleGAN-and-pix2pix, which pix2pix and CycleGAN share.

PatchGAN numbers its layers `model.0`, `model.2`, ...; PixelGAN `net.0`, `net.2`, `net.5`.
"""

from collections.abc import Mapping

from ganzoo.importers._state import State, last_number, not_this_network, shape_of


def facts(kind: str, state: State) -> tuple[State, dict]:
    """The state without old running values, and `channels`, `ndf`, `n_layers`, `norm` as names and shapes tell them."""
    if "net.0.weight" in state:
        ndf, channels, *_ = shape_of(kind, state, "net.0.weight")
        state, norm = norm_of(state, "net.2.bias")
        return state, {"channels": channels, "ndf": ndf, "n_layers": 0, "norm": norm}
    ndf, channels, *_ = shape_of(kind, state, "model.0.weight")
    last = last_number(r"^model\.(\d+)\.", state)
    if last < 5 or last % 3 != 2:
        raise not_this_network(kind, state, f"its last layer is model.{last}, and a PatchGAN's is 5, 8, 11 or so on")
    state, norm = norm_of(state, "model.2.bias")
    return state, {"channels": channels, "ndf": ndf, "n_layers": (last - 2) // 3, "norm": norm}


def places(config: Mapping) -> dict[str, str]:
    """Reference prefix -> layer name, for the builder's `n_layers`, `norm` and perhaps `affine`."""
    normed = config["norm"] == "batch" or config.get("affine", False)
    if config["n_layers"] == 0:
        found = {"net.0": "conv1", "net.2": "conv2", "net.5": "logits"}
        return found | ({"net.3": "norm2"} if normed else {})
    depth = config["n_layers"] + 1
    found = {"model.0": "conv1", f"model.{3 * depth - 1}": "logits"}
    for layer in range(2, depth + 1):
        found[f"model.{3 * layer - 4}"] = f"conv{layer}"
        if normed:
            found[f"model.{3 * layer - 3}"] = f"norm{layer}"
    return found


def reference(kernels: Mapping, norms: int) -> dict[str, str] | None:
    """`places` with norms for kernels in their order; None where they are no PatchGAN's or PixelGAN's."""
    sizes = {kernel.shape[2:] for kernel in kernels.values()}
    if len(kernels) < 3 or sizes not in ({(4, 4)}, {(1, 1)}) or (sizes == {(1, 1)} and len(kernels) != 3):
        return None
    return places({"n_layers": len(kernels) - 2 if sizes == {(4, 4)} else 0, "norm": "batch"})


def norm_of(state: State, bias: str) -> tuple[State, str]:
    """The norm, and the state without the running values that instance norm kept in checkpoints of before 2018.

    Batch norm has weights; instance norm has none, but then the convolutions before it have biases; else there is none.
    """
    running = (".running_mean", ".running_var")
    owners = {name.rpartition(".")[0] for name in state if name.endswith(running)}
    if any(f"{owner}.weight" in state for owner in owners):
        return state, "batch"
    return {n: a for n, a in state.items() if not n.endswith(running)}, "instance" if bias in state else "none"
