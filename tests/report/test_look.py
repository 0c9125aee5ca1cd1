"""What can be judged of the page's looks from its style sheet: contrast, colours, paper."""

import re
from importlib.resources import files

import numpy as np
import pytest

CSS = (files("kalshi_bt.report") / "templates" / "page.css").read_text(encoding="utf-8")
TEXT = ("text", "muted", "gain", "loss", "amber", "accent")  # colours of words
MARKS = ("gain", "loss", "total", "settled", "quote", "band", "accent")  # of lines and bars
GROUNDS = ("page", "surface", "sunken")
# Colours that must be told apart within one figure.
TOGETHER = [("gain", "loss"), ("gain", "total"), ("loss", "total"), ("band", "accent"),
            ("gain", "settled"), ("band", "gain")]  # fmt: skip
# Okabe & Ito (2008), Color Universal Design, https://jfly.uni-koeln.de/color/
OKABE_ITO = {"blue": "#0072b2", "vermilion": "#d55e00", "orange": "#e69f00", "sky": "#56b4e9",
             "purple": "#cc79a7"}  # fmt: skip
HUES = {"gain": ("blue", "sky"), "loss": ("vermilion",), "band": ("orange",),
        "settled": ("purple",)}  # fmt: skip
# Machado, Oliveira & Fernandes (2009), doi:10.1109/TVCG.2009.113, severity 1.0, linear RGB.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def palette(theme: str) -> dict[str, str]:
    """Return the colours of a theme by name."""
    light, dark = re.findall(r":root(?:\[data-theme=\"dark\"\])? \{(.*?)\n\}", CSS, re.DOTALL)[:2]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", {"light": light, "dark": dark}[theme]))


def linear(colour: str) -> np.ndarray:
    """Undo the gamma of sRGB."""
    part = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    bright = [float(linear(colour) @ [0.2126, 0.7152, 0.0722]) + 0.05 for colour in (one, other)]
    return max(bright) / min(bright)


def lab(light: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* (D65) of linear RGB."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
              [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip
    t = np.array(to_xyz) @ np.clip(light, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def hue(colour: str) -> float:
    """Return the hue angle in L*a*b*, degrees."""
    _, a, b = lab(linear(colour))
    return float(np.degrees(np.arctan2(b, a)))


def test_black_on_white_has_the_highest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.01
    )  # known to fail by a hair


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_can_be_read(theme: str) -> None:
    colours = palette(theme)
    for name in TEXT:
        for ground in GROUNDS:
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_and_bars_can_be_seen(theme: str) -> None:
    colours = palette(theme)
    for name in MARKS:
        low = 2.5 if name == "quote" else 3.0  # the band of quotes is filled as well
        assert contrast(colours[name], colours["page"]) >= low, name


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eye", [None, *BLIND])
def test_colours_are_told_apart_by_every_eye(theme: str, eye: str | None) -> None:
    colours = palette(theme)
    sight = np.eye(3) if eye is None else np.array(BLIND[eye])
    seen = {name: lab(sight @ linear(colour)) for name, colour in colours.items()}
    for one, other in TOGETHER:
        assert np.linalg.norm(seen[one] - seen[other]) >= 20, (one, other)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_hues_are_those_of_okabe_and_ito(theme: str) -> None:
    """The same hues, darker where they must be read on white."""
    colours = palette(theme)
    for name, hues in HUES.items():
        off = [abs((hue(colours[name]) - hue(OKABE_ITO[h]) + 180) % 360 - 180) for h in hues]
        assert min(off) <= 20, name


def test_words_are_never_faint() -> None:
    """The faint colour is for rules and dots; it has too little contrast to be read."""
    for rule, style in re.findall(r"([^{}]+)\{([^{}]*)\}", CSS):
        if re.search(r"(?<![-\w])color: var\(--faint\)", style):
            assert "::before" in rule or "::after" in rule, rule


def test_gain_and_loss_are_told_by_more_than_colour() -> None:
    """Amounts carry a sign; of the dots of the fill models the shape differs."""
    assert ".dot.pessimistic { border-radius" in CSS
    shapes = set(re.findall(r'"symbol": "([a-z-]+)"', _points()))
    assert len(shapes) == 2


def _points() -> str:
    return (files("kalshi_bt.report") / "figures" / "points.py").read_text(encoding="utf-8")


def test_paper_has_no_controls_and_cuts_no_row() -> None:
    paper = CSS[CSS.index("@media print") :]
    hidden = re.search(r"([^}]*)\{ display: none !important; \}", paper)
    assert hidden
    for name in ("nav.sections", ".control", ".tools"):
        assert name in hidden[1]
    assert re.search(r"\btr\b[^{]*\{ break-inside: avoid", paper)
    assert ".scroll { overflow: visible" in paper


def test_no_colour_stands_outside_the_palette() -> None:
    body = CSS[CSS.index("* { box-sizing") :].replace("#ffffff", "")  # paper is white
    assert not re.findall(r"#[0-9a-f]{3,8}\b", body)
