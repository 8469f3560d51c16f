"""The picture of a second factor's key, held to what an independent encoder (the library `qrcode`) draws."""

from __future__ import annotations

import hashlib
import re

import pytest

from gateway.pages.signing_in.qr import _drawn, _interleaved, _padded, matrix, svg_path

ADDRESS = "otpauth://totp/Ostiary%3Aalice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Ostiary%20door.example"
DRAWN_ELSEWHERE = [
    ("otpauth", 1, 0, "0e856cd1ade3de96"),
    ("otpauth", 1, 5, "e13cab31625f93ea"),
    ("x" * 78, 4, 0, "d00514b551336660"),
    ("x" * 78, 4, 5, "26bbf0323a28ad6d"),
    (ADDRESS, 6, 0, "d3ce10222eb8925c"),
    (ADDRESS, 6, 5, "bacaca3d37ef4ab6"),
    ("y" * 150, 7, 0, "99df1327c0e3e61b"),
    ("y" * 150, 7, 5, "b0e720c082a41445"),
    ("z" * 271, 10, 0, "8579a5955f8b35f8"),
    ("z" * 271, 10, 5, "eacb3da7b628ee10"),
]


def digest(rows: list[list[bool]]) -> str:
    return hashlib.sha256("\n".join("".join("01"[dark] for dark in row) for row in rows).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("text", "version", "mask", "expected"), DRAWN_ELSEWHERE)
def test_it_is_drawn_as_others_draw_it(text: str, version: int, mask: int, expected: str) -> None:
    assert digest(_drawn(_interleaved(_padded(text.encode(), version), version), version, mask)) == expected


def test_the_smallest_version_that_holds_it_is_taken() -> None:
    assert [len(matrix(b"x" * size)) for size in (17, 18, 271)] == [21, 25, 57]


def test_what_is_too_long_to_be_read_easily_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        matrix(b"x" * 272)


def test_the_picture_has_a_white_border_and_a_square_for_each_black_module() -> None:
    side, path = svg_path(ADDRESS)
    rows = matrix(ADDRESS.encode())
    assert side == len(rows) + 8
    assert path.count("M") == sum(map(sum, rows))
    assert {int(number) for number in re.findall(r"M(\d+) ", path)} <= set(range(4, side - 4))
