"""Ages in years, and the six classes of Antipov et al. 2017 (arXiv 1702.01983), by name and by number. No TensorFlow."""

import re

from ganzoo.errors import GanzooError, nearest

NAMES = ("0-18", "19-29", "30-39", "40-49", "50-59", "60+")
BOUNDS = (19, 30, 40, 50, 60)  # the first year of each class but the first
OLDEST = 120
SAID = f"an age is 0 to {OLDEST} years, or one of the classes {', '.join(NAMES)}"
# "23", "age_23", "23 years"; "19-29", "19 to 29", "19_29"; "60+", "60-", "over 60".
ONE = re.compile(r"(?:age[s]?[-_ ]?)?(\d{1,3})(?:[-_ ]?(?:years?|yrs?|y))?")
RANGE = re.compile(r"(?:age[s]?[-_ ]?)?(\d{1,3}) ?(?:-|_|–|to) ?(\d{1,3})(?:[-_ ]?(?:years?|yrs?|y))?")
OPEN = re.compile(r"(?:age[s]?[-_ ]?)?(?:(\d{1,3}) ?(?:\+|-|plus)|over[-_ ]?(\d{1,3}))")


def class_of(age) -> int:
    """The number of the class of an age: years, or the name of a class or of a range of years within one.

    Raises:
        GanzooError: no such age, or a range that reaches into two classes.
    """
    if isinstance(age, str):
        return _of_text(age)
    if isinstance(age, bool) or not hasattr(age, "__float__"):
        raise GanzooError(f"{SAID[0].upper()}{SAID[1:]}; received {age!r:.60}.")
    years = float(age)
    if not 0 <= years <= OLDEST:  # false for NaN
        raise GanzooError(f"{SAID[0].upper()}{SAID[1:]}; received {years:g}.")
    return sum(years >= bound for bound in BOUNDS)


def _of_text(text: str) -> int:
    said = text.strip().casefold()
    if found := ONE.fullmatch(said):
        return class_of(int(found[1]))
    if found := OPEN.fullmatch(said):
        return _of_range(text, int(found[1] or found[2]), OLDEST)
    if found := RANGE.fullmatch(said):
        return _of_range(text, int(found[1]), int(found[2]))
    try:
        return class_of(float(said))
    except ValueError:
        raise GanzooError(f'"{text:.60}" is not an age.{nearest(text, NAMES)} {SAID[0].upper()}{SAID[1:]}.') from None


def _of_range(text: str, first: int, last: int) -> int:
    if first > last:
        raise GanzooError(f'"{text:.60}" ends before it begins; {SAID}.')
    low, high = class_of(first), class_of(last)
    if low != high:
        raise GanzooError(f'"{text:.60}" reaches from class {NAMES[low]} into {NAMES[high]}; {SAID}.')
    return low


def read_list(text: str, option: str) -> list[str]:
    """The ages of a list such as "10,30,60" or "0-18,60+", each checked, as they are written.

    Raises:
        GanzooError: an age that there is none of, an empty place, or no age at all.
    """
    asked = [part.strip() for part in text.split(",")]
    if not all(asked):
        raise GanzooError(f'{option} is a list of ages as 10,30,60; received "{text:.60}".')
    for one in asked:
        class_of(one)
    return asked
