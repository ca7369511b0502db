"""Numbers that look random and are pure functions of seed, purpose and index."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

MASK64 = (1 << 64) - 1
_SEED, _PURPOSE, _INDEX, _PLUS = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7, 0x2545F491
_FIRST_MIX, _SECOND_MIX = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_LANE = 128  # bits: room for the product of two 64-bit numbers


class Lanes(NamedTuple):
    """Numbers side by side in one long integer, so that one operation of Python's works on all of them.

    `ones` holds 1 in each lane, `numbers` 0, 1, 2 and so on from the lowest, `low` the mask of each lane's 64 bits.
    """

    ones: int
    numbers: int
    low: int


@lru_cache(maxsize=16)
def lanes(count: int, bits: int) -> Lanes:
    """So many lanes of so many bits (a multiple of 8)."""
    size = bits // 8
    ones = int.from_bytes((1).to_bytes(size, "little") * count, "little")
    numbers = int.from_bytes(b"".join([number.to_bytes(size, "little") for number in range(count)]), "little")
    return Lanes(ones, numbers, ones * MASK64)


def draws(seed: int, purpose: int, first: int, count: int) -> Sequence[int]:
    """What `draw` gives for `count` indexes from `first` on, at a fraction of the time."""
    ones, numbers, low = lanes(count, _LANE)
    z = (ones * ((seed * _SEED + purpose * _PURPOSE + first * _INDEX + _PLUS) & MASK64) + numbers * _INDEX) & low
    z = ((z ^ (z >> 30 & low)) * _FIRST_MIX) & low
    z = ((z ^ (z >> 27 & low)) * _SECOND_MIX) & low
    z ^= z >> 31 & low
    return struct.unpack(f"<{2 * count}Q", z.to_bytes(_LANE // 8 * count, "little"))[::2]


def draw(seed: int, purpose: int, index: int) -> int:
    """64 well-mixed bits (the finalizer of SplitMix64): the same three arguments give the same bits on any machine."""
    z = (seed * _SEED + purpose * _PURPOSE + index * _INDEX + _PLUS) & MASK64
    z = ((z ^ (z >> 30)) * _FIRST_MIX) & MASK64
    z = ((z ^ (z >> 27)) * _SECOND_MIX) & MASK64
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

    def hide_many(self, first: int, count: int, *, before: bytes, after: bytes) -> bytes:
        """`hide` of `count` indexes from `first` on, the last index first, each as 8 big-endian bytes between the two.

        `before` and `after` are 4 bytes together, and indexes lie below 2^31.
        """
        ones, numbers, low = lanes(count, 96)
        hidden = (ones * self.hide(first) + numbers * self._factor) & low
        frame = int.from_bytes(before + bytes(8) + after, "big")
        return ((hidden << 8 * len(after)) + ones * frame).to_bytes(12 * count, "big")

    def find(self, hidden: int) -> int:
        """The index that `hide` gave this number for."""
        return ((hidden - self._add) * self._back) & MASK64
