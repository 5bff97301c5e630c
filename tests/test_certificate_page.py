"""The numbers of the worked example, in the page and in its picture, worked out once more."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "certificate.md").read_text("utf-8")
PICTURE = (DOCS / "certificate.svg").read_text("utf-8")

EXACT = [Fraction(1, 3), Fraction(-2, 3), Fraction(5, 3)]
STORED = [Fraction(float(np.float32(int(x.numerator) / int(x.denominator)))) for x in EXACT]
ERRORS = [stored - exact for stored, exact in zip(STORED, EXACT, strict=True)]
WORST = sum(map(abs, ERRORS))


def short(value):
    """Two digits, as the page writes them."""
    return re.sub("e-0", "e-", f"{float(value):.1e}")


def test_the_page_has_the_numbers():
    for exact, stored, error in zip(EXACT, STORED, ERRORS, strict=True):
        power = stored.denominator.bit_length() - 1
        small = str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
        fraction = f"{stored.numerator} / 2{small} = {float(stored):.11f}"
        assert f"| {exact} | {fraction} | {error * 2**25} · 2⁻²⁵ = {short(error)} |" in PAGE
    assert f"add up to {WORST * 2**25} · 2⁻²⁵ = {short(WORST)}" in PAGE
    assert f"a quotient of {short(WORST / sum(map(abs, EXACT)))}" in PAGE
    rho = sum(map(abs, ERRORS[:2])) / sum(map(abs, EXACT[:2]))
    assert f"/ 1 = {short(rho)}, which is rho" in PAGE.replace("\n", " ")


@pytest.mark.parametrize(("first", "second"), [(-1, 1), (1, -1), (1, 1), (-1, -1), (0.25, -0.5)])
def test_the_signs_of_the_page_are_the_worst(first, second):
    off = abs(ERRORS[0] * Fraction(first) + ERRORS[1] * Fraction(second) + ERRORS[2])
    assert off <= WORST
    assert (off == WORST) == ((first, second) == (-1, 1))


def test_the_picture_has_them_too():
    third = np.float32(1 / 3)
    below = np.nextafter(third, np.float32(0))
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", PICTURE)
    ulp = Fraction(float(third)) - Fraction(float(below))
    for text in (
        f"{below:.11f}",
        f"{third:.11f} is stored",
        f"{ERRORS[0] / ulp} ulp = {short(ERRORS[0])}",
        *(short(-abs(error)) for error in ERRORS),
    ):
        assert text in texts
    assert any(f"one ulp = {short(ulp)}" in text for text in texts)
    assert any(f"C = {short(WORST)}:" in text for text in texts)


def attribute(tag, name):
    return float(re.search(rf'\b{name}="([\d.]+)"', tag)[1])


def test_the_picture_is_to_scale():
    bars = re.findall(r'<rect [^>]*height="44"[^>]*>', PICTURE)
    widths = [attribute(bar, "width") for bar in bars]
    assert [Fraction(w / sum(widths)).limit_denominator(99) for w in widths] == [
        abs(error) / WORST for error in ERRORS
    ]
    exact, stored = (attribute(c, "cx") for c in re.findall(r"<circle [^>]*>", PICTURE))
    half = attribute(re.search(r"<line [^>]*dasharray[^>]*>", PICTURE)[0], "x1")
    assert (stored - exact) / (stored - half) == pytest.approx(
        2 / 3
    )  # a third and a half of an ulp
