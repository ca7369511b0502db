"""Numbers that look random and are pure functions of seed, purpose and index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

MASK64 = (1 << 64) - 1


def draw(seed: int, purpose: int, index: int) -> int:
    """64 well-mixed bits (the finalizer of SplitMix64): the same three arguments give the same bits on any machine."""
    z = (seed * 0x9E3779B97F4A7C15 + purpose * 0xD1B54A32D192ED03 + index * 0x8CB92BA72F3D8DD7 + 0x2545F491) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def pick(options: Sequence[Item], bits: int) -> Item:
    """One of the options; the choice uses all the bits given, so pass shifted bits for independent choices."""
    return options[bits % len(options)]


def chance(bits: int, per_1024: int) -> bool:
    """True with probability `per_1024`/1024, decided by the lowest ten bits."""
    return bits & 1023 < per_1024


class Scramble:
    """A bijection of 0..2^64-1 that can be undone, so that an id can be turned back into its index."""

    __slots__ = ("_add", "_back", "_factor")

    def __init__(self, seed: int, purpose: int) -> None:
        self._factor = draw(seed, purpose, 0) | 1
        self._add = draw(seed, purpose, 1)
        self._back = pow(self._factor, -1, 1 << 64)

    def hide(self, index: int) -> int:
        """The number that stands for the index."""
        return (index * self._factor + self._add) & MASK64

    def find(self, hidden: int) -> int:
        """The index that `hide` gave this number for."""
        return ((hidden - self._add) * self._back) & MASK64
