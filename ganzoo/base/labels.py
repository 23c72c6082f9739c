"""Classes by name and by number: what `generate(label=)`, the command line and a served model take for one."""

import numpy as np
import tensorflow as tf

from ganzoo.errors import GanzooError, nearest


def folded(name: str) -> str:
    """A name as it is looked up: "Ankle boot", "ankle-boot" and "ANKLE_BOOT" are one."""
    return "".join(c for c in name.casefold() if c not in "-_ ")


def check_names(classes: int, names: tuple[str, ...]) -> None:
    """Refuses fewer than two classes, and names that are not one for each class and each another."""
    if classes < 2:
        raise GanzooError(
            f"A model that is asked by class has two classes or more; received {classes}. For pictures of one kind take an "
            "unconditional paper, such as dcgan."
        )
    if names and len(names) != classes:
        raise GanzooError(f"class_names has a name for each of the {classes} classes, or none; received {len(names)}.")
    if len({folded(name) for name in names}) < len(names):
        twice = next(name for name in names if sum(folded(name) == folded(other) for other in names) > 1)
        raise GanzooError(
            f'class_names has "{twice}" twice (case, spaces, - and _ aside): each class has a name of its own.'
        )


def class_name(model, label: int) -> str:
    """The name of a class, or its number where the model knows no names."""
    return model.class_names[label] if model.class_names else str(label)


def class_of(model, label) -> int:
    """The number of a class given by number or by name.

    Raises:
        GanzooError: a model without classes, a number out of range, or a name that the model does not know (with the nearest).
    """
    classes, names = model.classes, model.class_names
    if not classes:
        raise GanzooError(f"{model.full_name} has no classes and takes no labels; received {label!r}.")
    if isinstance(label, str):
        numbers = {folded(name): number for number, name in enumerate(names)}
        if folded(label) in numbers:
            return numbers[folded(label)]
        if label.strip().lstrip("+-").isdecimal() and len(label) < 12:
            return class_of(model, int(label))
        if not names:
            raise GanzooError(
                f'{model.full_name} knows its {classes} classes by number, 0 to {classes - 1}; received "{label}".'
            )
        listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise GanzooError(f'{model.full_name} has no class "{label}".{nearest(label, names)} Its classes: {listed}.')
    if not isinstance(label, int | np.integer) or isinstance(label, bool):
        raise GanzooError(f"label is the name or the number of a class, or a list of them; received {label!r}.")
    if not 0 <= label < classes:
        last = classes - 1
        known = f" ({names[0]}) to {last} ({names[-1]})" if names else f" to {last}"
        raise GanzooError(f"label {label} is not one of the {classes} classes of {model.full_name}: they are 0{known}.")
    return int(label)


def classes_of(model, label, rows: int) -> tf.Tensor:
    """int64 (rows,) of one class for all, or one for each row; None is the classes in turn.

    Raises:
        GanzooError: as `class_of`, or another number of them than of rows.
    """
    if label is None:
        return tf.range(rows, dtype=tf.int64) % max(model.classes, 1)
    if isinstance(label, np.ndarray | tf.Tensor):
        label = np.asarray(label).tolist()
    if not isinstance(label, list | tuple):
        return tf.fill([rows], tf.constant(class_of(model, label), tf.int64))
    if len(label) != rows:
        raise GanzooError(f"label is one class for all, or one for each of the {rows} samples; received {len(label)}.")
    return tf.constant([class_of(model, one) for one in label], tf.int64)


def by_name(model, names: tf.Tensor) -> tf.Tensor:
    """int64 (N,) of class names (N,) inside a graph, letter case aside; another name stops it with a sentence."""
    known = tf.constant([name.lower() for name in model.class_names])
    same = tf.equal(tf.strings.lower(names, "utf-8")[:, None], known[None])
    listed = ", ".join(model.class_names[:20])
    check = tf.debugging.Assert(
        tf.reduce_all(tf.reduce_any(same, 1)),
        [f"label_name is one of the classes of {model.full_name}: {listed}; received", names],
    )
    with tf.control_dependencies([check]):
        return tf.argmax(tf.cast(same, tf.int32), 1)


def in_range(model, label: tf.Tensor) -> tf.Tensor:
    """The labels (N,) inside a graph, which stops with a sentence at one that is not a class."""
    fits = tf.reduce_all((label >= 0) & (label < model.classes))
    check = tf.debugging.Assert(fits, [f"label is 0 to {model.classes - 1} for {model.full_name}; received", label])
    with tf.control_dependencies([check]):
        return tf.identity(label)
