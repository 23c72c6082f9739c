"""Attributes: what a picture may be asked for by name ("hair" is "pink", "glasses" are on), as numbers for networks.

Attributes are a mapping, name -> its values in order; ("no", "yes") makes a boolean. A *row* holds the number of one value
for each attribute, K in all, UNNAMED (-1) where nothing is asked. Its *columns* are float32 of 0 and 1, A in all: one for
each value of a category, one for a boolean. What is not named is drawn from rows of the training set that agree with
what is, as far as any do (`completed`).
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from ganzoo.errors import GanzooError, nearest

BOOLEAN = ("no", "yes")
UNNAMED = -1
MAX_VALUES = 256  # of an attribute: its number is a byte
MAX_COLUMNS = 1024
ROWS = 1024  # of the training set, that a model keeps

Attributes = Mapping[str, Sequence[str]]


def checked(attributes: Attributes) -> dict[str, tuple[str, ...]]:
    """The attributes of a model's constructor, values as tuples.

    Raises:
        GanzooError: no attribute, no name, one value only, a value twice, or more of them than fit.
    """
    if not attributes:
        raise GanzooError(
            'attributes name what can be asked for, {"hair": ["black", "pink"]}, at least one; received none.'
        )
    for name, values in attributes.items():
        known = isinstance(name, str) and isinstance(values, list | tuple) and all(isinstance(v, str) for v in values)
        if not known or not name or not all(values):
            raise GanzooError(
                f"An attribute has a name and a list of names of its values; received {name!r}: {values!r:.80}."
            )
        if len(values) < 2 or len(set(values)) < len(values):
            raise GanzooError(
                f'The attribute "{name}" needs two values or more, each once; received {", ".join(values)}.'
            )
        if len(values) > MAX_VALUES:
            raise GanzooError(f'The attribute "{name}" has {len(values)} values; at most {MAX_VALUES} are taken.')
    if width(attributes) > MAX_COLUMNS:
        raise GanzooError(f"The attributes have {width(attributes)} values in all; at most {MAX_COLUMNS} are taken.")
    return {name: tuple(values) for name, values in attributes.items()}


def is_boolean(values: Sequence[str]) -> bool:
    """Whether an attribute of these values is on or off."""
    return tuple(values) == BOOLEAN


def column_names(attributes: Attributes) -> list[str]:
    """A name for each column: "glasses", "hair=pink"."""
    return [
        label
        for name, values in attributes.items()
        for label in ([name] if is_boolean(values) else [f"{name}={value}" for value in values])
    ]


def width(attributes: Attributes) -> int:
    """A, the number of columns."""
    return sum(1 if is_boolean(values) else len(values) for values in attributes.values())


def columns_of(rows: tf.Tensor, attributes: Attributes) -> tf.Tensor:
    """float32 columns (N, A) of rows (N, K) whose attributes all are named."""
    parts = []
    for place, values in enumerate(attributes.values()):
        hot = tf.one_hot(tf.cast(rows[:, place], tf.int32), len(values))
        parts.append(hot[:, 1:] if is_boolean(values) else hot)
    return tf.concat(parts, axis=1)


def sampled(draw, attributes: Attributes, share: float) -> tf.Tensor:
    """int32 rows (N, K) by a rule: of each category one value, all alike likely, and each boolean with probability `share`.

    Args:
        draw: float32 (N, K), uniform on [0, 1).
    """
    sizes = tf.constant([len(values) for values in attributes.values()], tf.float32)
    boolean = tf.constant([is_boolean(values) for values in attributes.values()])
    return tf.cast(tf.where(boolean, tf.cast(draw < share, tf.float32), tf.floor(draw * sizes)), tf.int32)


def draws(seeds: tf.Tensor) -> tf.Tensor:
    """int32 (N,) of 31 bits, by each row's own seeds (N, 2)."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([], seed, 0, 2**31 - 1, tf.int32), seeds, fn_output_signature=tf.int32
    )


def completed(asked: tf.Tensor, kept: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
    """int32 rows (N, K): what `asked` names stands; the rest is that of one of the kept rows (R, K). Of those that agree in
    most of what is asked it is the one at `drawn` (N,), which is `draws`, modulo their number."""
    named = asked >= 0
    agree = tf.logical_and(named[:, None, :], asked[:, None, :] == kept[None, :, :])
    score = tf.reduce_sum(tf.cast(agree, tf.int32), axis=2)  # (N, R)
    best = tf.cast(score == tf.reduce_max(score, axis=1, keepdims=True), tf.int32)
    place = drawn % tf.reduce_sum(best, axis=1)  # 2^31 rows are not kept: no value is seen to be likelier
    chosen = tf.argmax(tf.cast(tf.cumsum(best, axis=1) == place[:, None] + 1, tf.int32), axis=1)
    return tf.where(named, asked, tf.gather(kept, chosen))


def row_of(asked, attributes: Attributes) -> list[int]:
    """A row of what is asked, a mapping of names to values: a name of a value, or True and False of a boolean.

    Raises:
        GanzooError: an unknown name or value, with the nearest and the list.
    """
    if not isinstance(asked, Mapping):
        raise GanzooError(
            f"attributes are a mapping of names to values, {_example(attributes)}, or a list of them; received {asked!r:.80}."
        )
    row, names = [UNNAMED] * len(attributes), list(attributes)
    for given, value in asked.items():
        name = _known(str(given), names)
        if name is None:
            raise GanzooError(
                f'There is no attribute "{given!s:.60}".{nearest(str(given), names)} This model has: {", ".join(names)}.'
            )
        if row[names.index(name)] != UNNAMED:
            raise GanzooError(f'The attribute "{name}" is asked for twice: give each once.')
        row[names.index(name)] = _number(name, value, attributes[name])
    return row


def _number(name: str, value, values: Sequence[str]) -> int:
    if isinstance(value, bool | np.bool_):
        value = BOOLEAN[bool(value)] if is_boolean(values) else str(value)
    found = _known(value, values) if isinstance(value, str) else None
    if found is None and isinstance(value, str) and is_boolean(values):
        found = {"true": "yes", "on": "yes", "1": "yes", "false": "no", "off": "no", "0": "no"}.get(
            value.strip().lower()
        )
    if found is None:
        accepted = "yes and no" if is_boolean(values) else ", ".join(values)
        raise GanzooError(f'"{name}" cannot be {value!r:.60}.{nearest(str(value), values)} Its values are: {accepted}.')
    return list(values).index(found)


def _known(given: str, options: Sequence[str]) -> str | None:
    """The option that is meant, ignoring case and whether words are joined by `_`, `-` or a space."""
    if given in options:
        return given
    return next((option for option in options if _plain(option) == _plain(given)), None)


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", " ").replace("_", " ")


def _example(attributes: Attributes) -> str:
    name, values = next(iter(attributes.items()))
    return json.dumps({name: True if is_boolean(values) else values[0]})


def asked_rows(asked, count: int, attributes: Attributes) -> tf.Tensor:
    """int32 rows (count, K) of what is asked: nothing, one mapping for all, or a list of `count` of them; or rows.

    Raises:
        GanzooError: another number of them, or one that `row_of` refuses.
    """
    if asked is None:
        asked = {}
    if isinstance(asked, np.ndarray):
        return _checked_rows(asked, count, attributes)
    if isinstance(asked, list | tuple):
        if len(asked) != count:
            raise GanzooError(
                f"{count} pictures need as many mappings of attributes, or one for all; received {len(asked)}."
            )
        given = [row_of(one, attributes) for one in asked]
    else:
        given = [row_of(asked, attributes)] * count
    return tf.constant(given, tf.int32)


def _checked_rows(given: np.ndarray, count: int, attributes: Attributes) -> tf.Tensor:
    limits = [len(values) for values in attributes.values()]
    fits = given.shape == (count, len(limits)) and np.issubdtype(given.dtype, np.integer)
    if not fits or (given < UNNAMED).any() or (given >= limits).any():
        raise GanzooError(
            f"Rows of attributes are whole numbers ({count}, {len(limits)}), each that of a value or {UNNAMED}; received "
            f"{given.dtype} {given.shape}."
        )
    return tf.constant(given, tf.int32)


def mapping_of(row: Sequence[int], attributes: Attributes) -> dict[str, str | bool]:
    """What a row asks by name: True and False of booleans, names of values else; nothing of what is unnamed."""
    named = zip(row, attributes.items(), strict=True)
    return {
        name: bool(number) if is_boolean(values) else values[number]
        for number, (name, values) in named
        if number != UNNAMED
    }


def rows_of_json(texts: tf.Tensor, attributes: Attributes) -> tf.Tensor:
    """int32 rows (N, K) of strings (N,), each a JSON object of names and values as `row_of` takes it, or empty. In a graph,
    which has no parser: names and values are those of the attributes to the letter, without escapes but JSON's own.

    A string that is something else, or names an attribute twice, stops the graph with a sentence.
    """
    columns, pairs = [], []
    for name, values in attributes.items():
        key = rf"{_in_json(name)}\s*:\s*"
        forms = [_value_in_json(value, is_boolean(values)) for value in values]
        pairs += [key + form for form in forms]
        hits = [tf.strings.regex_full_match(texts, rf"(?s).*{key}{form}\s*[,}}].*") for form in forms]
        hit = tf.cast(tf.stack(hits, axis=1), tf.int32)
        columns.append(tf.where(tf.reduce_any(hit > 0, axis=1), tf.argmax(hit, axis=1, output_type=tf.int32), UNNAMED))
    pair = f"(?:{'|'.join(pairs)})"
    whole = tf.strings.regex_full_match(texts, rf"\s*(?:\{{\s*(?:{pair}(?:\s*,\s*{pair})*\s*)?\}}\s*)?")
    keys = [rf"{_in_json(name)}\s*:" for name in attributes]
    twice = [tf.strings.regex_full_match(texts, rf"(?s).*[{{,]\s*{key}.*,\s*{key}.*") for key in keys]
    good = tf.reduce_all(tf.logical_and(whole, tf.logical_not(tf.reduce_any(tf.stack(twice, axis=1), axis=1))))
    names = ", ".join(attributes)
    sentence = f"attributes are JSON objects of names and values, each once, as {_example(attributes)}. The names: {names:.200}."
    with tf.control_dependencies([tf.debugging.Assert(good, [sentence])]):
        return tf.identity(tf.stack(columns, axis=1))


def _in_json(text: str) -> str:
    """A regular expression of a string in JSON: non-ASCII characters as they are, or escaped."""
    forms = dict.fromkeys((json.dumps(text, ensure_ascii=False), json.dumps(text)))
    return f"(?:{'|'.join(map(_escaped, forms))})"


def _escaped(text: str) -> str:
    """Of RE2, which takes a backslash before any punctuation."""
    return "".join(char if char.isalnum() or not char.isascii() else f"\\{char}" for char in text)


def _value_in_json(value: str, boolean: bool) -> str:
    return f"(?:{'true' if value == 'yes' else 'false'}|{_in_json(value)})" if boolean else _in_json(value)


def carried(entries: np.ndarray, before: Attributes, now: Attributes) -> np.ndarray:
    """Entries (A, ...) of the columns of some attributes as those of others: by name. A new value of an attribute that was
    there begins as the mean of its old values, a new attribute at zero. Of a boolean that is a category now, or the other
    way round, nothing can be said, and it is new.
    """
    old = dict(zip(column_names(before), entries, strict=True))
    found = []
    for name, values in now.items():
        boolean = is_boolean(values)
        same_kind = name in before and is_boolean(before[name]) == boolean
        mean = np.zeros_like(entries[0])
        if same_kind and not boolean:
            mean = np.mean([old[f"{name}={value}"] for value in before[name]], axis=0)
        for label in [name] if boolean else [f"{name}={value}" for value in values]:
            found.append(old.get(label, mean) if same_kind else mean)
    return np.stack(found).astype(entries.dtype)
