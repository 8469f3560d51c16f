"""A QR code as one SVG path (ISO/IEC 18004): byte mode, error correction level L, versions 1 to 10.

Enough for the address of a second factor. The pattern is computed here because a picture from elsewhere would hand the
key to whoever draws it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Of each version: error correction codewords per block, blocks, all codewords (ISO/IEC 18004 tables 1 and 9).
_BLOCKS: Final = {
    1: (7, 1, 26), 2: (10, 1, 44), 3: (15, 1, 70), 4: (20, 1, 100), 5: (26, 1, 134),
    6: (18, 2, 172), 7: (20, 2, 196), 8: (24, 2, 242), 9: (30, 2, 292), 10: (18, 4, 346),
}  # fmt: skip
_ALIGNED: Final = {
    1: (), 2: (6, 18), 3: (6, 22), 4: (6, 26), 5: (6, 30), 6: (6, 34), 7: (6, 22, 38), 8: (6, 24, 42), 9: (6, 26, 46),
    10: (6, 28, 50),
}  # fmt: skip
_LEVEL_L: Final = 1
_QUIET: Final = 4  # modules of white around it


def svg_path(text: str) -> tuple[int, str]:
    """The side in modules, white border included, and the path of the black ones."""
    rows = matrix(text.encode())
    black = "".join(
        f"M{x + _QUIET} {y + _QUIET}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    )
    return len(rows) + 2 * _QUIET, black


def matrix(data: bytes) -> list[list[bool]]:
    """The modules, row by row; the mask is the one with the fewest penalties."""
    version = next((one for one in _BLOCKS if _fits(data, one)), None)
    if version is None:
        raise ValueError("too long for a code that is read easily")
    words = _interleaved(_padded(data, version), version)
    candidates = [_drawn(words, version, mask) for mask in range(8)]
    return min(candidates, key=_penalty)


def _fits(data: bytes, version: int) -> bool:
    return 4 + _count_bits(version) + 8 * len(data) <= 8 * _capacity(version)


def _capacity(version: int) -> int:
    ecc, blocks, words = _BLOCKS[version]
    return words - ecc * blocks


def _count_bits(version: int) -> int:
    return 8 if version < 10 else 16


def _padded(data: bytes, version: int) -> bytes:
    """Mode, length, data, terminator and padding (section 7.4)."""
    room = _capacity(version)
    bits = f"0100{len(data):0{_count_bits(version)}b}" + "".join(f"{byte:08b}" for byte in data)
    bits += "0" * min(4, 8 * room - len(bits))
    bits += "0" * (-len(bits) % 8)
    words = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    return words + (b"\xec\x11" * room)[: room - len(words)]


def _interleaved(words: bytes, version: int) -> bytes:
    """Blocks with their error correction, word by word in turn (section 7.6)."""
    ecc, count, _all = _BLOCKS[version]
    short, longer = divmod(len(words), count)
    blocks, start = [], 0
    for number in range(count):
        size = short + (number >= count - longer)
        blocks.append(words[start : start + size])
        start += size
    checks = [_remainder(block, ecc) for block in blocks]
    found = [block[at] for at in range(short + 1) for block in blocks if at < len(block)]
    return bytes(found) + bytes(check[at] for at in range(ecc) for check in checks)


def _remainder(data: bytes, degree: int) -> bytes:
    """Reed and Solomon's, over GF(2^8) with 0x11d (section 7.5)."""
    divisor, result = _divisor(degree), [0] * degree
    for byte in data:
        factor = byte ^ result.pop(0)
        result.append(0)
        result = [have ^ _times(coefficient, factor) for have, coefficient in zip(result, divisor, strict=True)]
    return bytes(result)


@lru_cache
def _divisor(degree: int) -> Sequence[int]:
    result, root = [0] * (degree - 1) + [1], 1
    for _ in range(degree):
        for at in range(degree):
            result[at] = _times(result[at], root) ^ (result[at + 1] if at + 1 < degree else 0)
        root = _times(root, 2)
    return result


def _times(one: int, other: int) -> int:
    product = 0
    for bit in range(7, -1, -1):
        product = (product << 1) ^ ((product >> 7) * 0x11D)
        product ^= ((other >> bit) & 1) * one
    return product


class _Grid:
    """Modules as they are drawn; those of `fixed` are no data and are not masked."""

    def __init__(self, version: int) -> None:
        self.size = 17 + 4 * version
        self.dark = [[False] * self.size for _ in range(self.size)]
        self.fixed = [[False] * self.size for _ in range(self.size)]

    def put(self, x: int, y: int, dark: int) -> None:
        if 0 <= x < self.size and 0 <= y < self.size:
            self.dark[y][x], self.fixed[y][x] = bool(dark), True


def _drawn(words: bytes, version: int, mask: int) -> list[list[bool]]:
    grid = _Grid(version)
    _draw_patterns(grid, version)
    _draw_format(grid, mask)
    _draw_version(grid, version)
    bits = (byte >> bit & 1 for byte in words for bit in range(7, -1, -1))
    for x, y in _zigzag(grid.size):
        if not grid.fixed[y][x]:
            grid.dark[y][x] = bool(next(bits, 0)) ^ _masked(mask, x, y)
    return grid.dark


def _draw_patterns(grid: _Grid, version: int) -> None:
    """Timing, finder and alignment patterns (section 6.3)."""
    for at in range(grid.size):
        grid.put(6, at, at % 2 == 0)
        grid.put(at, 6, at % 2 == 0)
    far = grid.size - 4
    for centre_x, centre_y in ((3, 3), (far, 3), (3, far)):
        for dy in range(-4, 5):
            for dx in range(-4, 5):
                grid.put(centre_x + dx, centre_y + dy, max(abs(dx), abs(dy)) not in {2, 4})
    places = _ALIGNED[version]
    for x in places:
        for y in places:
            if (x, y) not in {(6, 6), (6, places[-1]), (places[-1], 6)}:
                for dy in range(-2, 3):
                    for dx in range(-2, 3):
                        grid.put(x + dx, y + dy, max(abs(dx), abs(dy)) != 1)


def _draw_format(grid: _Grid, mask: int) -> None:
    """Level and mask, twice (section 7.9)."""
    data = _LEVEL_L << 3 | mask
    rest = data
    for _ in range(10):
        rest = (rest << 1) ^ ((rest >> 9) * 0x537)
    bits = (data << 10 | rest) ^ 0x5412
    size = grid.size
    around = [(8, at) for at in (0, 1, 2, 3, 4, 5, 7, 8)] + [(at, 8) for at in (7, 5, 4, 3, 2, 1, 0)]
    apart = [(size - 1 - at, 8) for at in range(8)] + [(8, size - 15 + at) for at in range(8, 15)]
    for places in (around, apart):
        for at, (x, y) in enumerate(places):
            grid.put(x, y, bits >> at & 1)
    grid.put(8, size - 8, 1)


def _draw_version(grid: _Grid, version: int) -> None:
    """From version 7 on, twice (section 7.10)."""
    if version < 7:
        return
    rest = version
    for _ in range(12):
        rest = (rest << 1) ^ ((rest >> 11) * 0x1F25)
    bits = version << 12 | rest
    for at in range(18):
        far, near = grid.size - 11 + at % 3, at // 3
        grid.put(far, near, bits >> at & 1)
        grid.put(near, far, bits >> at & 1)


def _zigzag(size: int) -> Iterator[tuple[int, int]]:
    """Two columns at a time, upwards and downwards, from the right; the timing column is stepped over."""
    upwards = True
    for right in [*range(size - 1, 6, -2), *range(5, 0, -2)]:
        for y in range(size - 1, -1, -1) if upwards else range(size):
            yield right, y
            yield right - 1, y
        upwards = not upwards


def _masked(mask: int, x: int, y: int) -> bool:
    """Section 7.8.2."""
    return (
        (x + y) % 2, y % 2, x % 3, (x + y) % 3, (x // 3 + y // 2) % 2, x * y % 2 + x * y % 3,
        (x * y % 2 + x * y % 3) % 2, ((x + y) % 2 + x * y % 3) % 2,
    )[mask] == 0  # fmt: skip


def _penalty(rows: list[list[bool]]) -> int:
    """Section 7.8.3: long runs, blocks, what looks like a finder pattern, and too much of one colour."""
    lines = [*rows, *(list(column) for column in zip(*rows, strict=True))]
    texts = ["".join("01"[dark] for dark in line) for line in lines]
    runs = sum(len(run) - 2 for text in texts for run in text.replace("01", "0 1").replace("10", "1 0").split()
               if len(run) >= 5)  # fmt: skip
    finders = sum(text.count(pattern) for text in texts for pattern in ("10111010000", "00001011101"))
    blocks = sum(
        rows[y][x] == rows[y][x + 1] == rows[y + 1][x] == rows[y + 1][x + 1]
        for y in range(len(rows) - 1)
        for x in range(len(rows) - 1)
    )
    share = sum(map(sum, rows)) / len(rows) ** 2
    return runs + 40 * finders + 3 * blocks + 10 * int(abs(share - 0.5) * 20)
