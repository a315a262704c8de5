"""The page of a diagnosis: for each image its middle, its residual, the autocorrelation and the fit of the level."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from denoisebench.diagnosis.correlation import REACH
from denoisebench.diagnosis.diagnosis import Diagnosis
from denoisebench.diagnosis.families import advice
from denoisebench.photographs.diagnosing import HEAD, Diagnosed, line, summary
from denoisebench.photographs.photo import Photo
from denoisebench.report.markup import Markup, element, joined, table

SIDE = 256
CELL = 22
WIDTH, HEIGHT, PAD = 300, 240, 36
COLOURS = {1: ("#444",), 3: ("#c0392b", "#1e8449", "#2456a6")}
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1180px;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;font-size:13px}th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left}
.scroll{overflow-x:auto}figure{display:inline-block;margin:.4rem .8rem .4rem 0;vertical-align:top}
figcaption{font-size:12px;color:#555;max-width:300px}img{image-rendering:pixelated;display:block}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}figcaption{color:#aaa}}
"""
NOTES = (
    "Sigma is the standard deviation of the noise on the 0-255 scale, measured where the image is flat; <= marks images without "
    "flat areas, whose structure cannot be told from noise. Neighbours: the correlation of the noise of a pixel with that of the "
    "next one; methods for independent pixels keep correlated noise. Colours: the same between the channels of one pixel."
)


def pictures(photo: Photo, diagnosis: Diagnosis) -> Markup:
    """Made while the pixels are in memory."""
    height, width = photo.pixels.shape[:2]
    top, left = (max(0, (size - SIDE) // 2) for size in (height, width))
    part = photo.unit[top : top + SIDE, left : left + SIDE]
    smooth = np.stack([gaussian_filter(part[..., c], 1.5) for c in range(part.shape[2])], axis=2)
    gain = 0.15 / max(diagnosis.level.sigma / 255, 0.004)
    figures = [
        _figure(_image(part), "the middle of the image"),
        _figure(_image(0.5 + gain * (part - smooth)), f"its fine detail, {gain:.1f} times as strong: noise, and edges"),
        _figure(_correlation(diagnosis.correlation.lags.mean(0)), "autocorrelation of the noise, pixels down and right"),
        _figure(_fit(diagnosis), "the level (0-255) of flat areas at each intensity, and the fit"),
    ]
    return joined(*figures)


def page(found: Sequence[Diagnosed], drawn: Sequence[Markup]) -> str:
    """The whole page, one file that needs no other."""
    head = [element("th", text) for text in HEAD]
    body = [[element("td", text) for text in line(one)] for one in found]
    parts = [_section(one, own) for one, own in zip(found, drawn, strict=True)]
    content = joined(
        element("h1", "What noise is this?"), element("p", summary(found)), table(head, body), element("p", NOTES), *parts
    )
    top = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Noise diagnosis</title>'
    return f'{top}<meta name="viewport" content="width=device-width"><style>{STYLE}</style><body>{content}</body></html>\n'


def _section(of: Diagnosed, drawn: Markup) -> Markup:
    marks = {True: "yes", False: "no", None: "depends"}
    rows = [
        [element("td", text) for text in (one.family.name, marks[one.fits], one.why, ", ".join(one.family.methods))]
        for one in advice(of.diagnosis)
    ]
    head = [element("th", text) for text in ("family", "can work", "why", "methods")]
    return element("section", element("h2", of.name), drawn, table(head, rows))


def _figure(picture: Markup, caption: str) -> Markup:
    return element("figure", picture, element("figcaption", caption))


def _image(values: np.ndarray) -> Markup:
    """(H, W, C) in [0, 1] as a PNG inside the page."""
    levels = np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)
    done, file = cv2.imencode(".png", levels[..., ::-1] if levels.shape[2] == 3 else levels)
    assert done
    return element("img", src="data:image/png;base64," + base64.b64encode(file.tobytes()).decode(), alt="", height=240)


def _correlation(lags: np.ndarray) -> Markup:
    """A chequered square with the value of each lag; red for positive, blue for negative ones."""
    cells = []
    for row in range(2 * REACH + 1):
        for column in range(2 * REACH + 1):
            value = float(lags[row, column])
            tint = "200,60,40" if value > 0 else "40,80,200"
            x, y = column * CELL, row * CELL
            cells.append(
                element("rect", x=x, y=y, width=CELL, height=CELL, fill=f"rgba({tint},{min(abs(value), 1):.2f})", stroke="#8884")
            )
            if abs(value) >= 0.05:
                text = f"{value:.1f}".replace("0.", ".")
                cells.append(_text(x + CELL / 2, y + CELL / 2 + 3, text, "middle", 9))
    side = (2 * REACH + 1) * CELL
    return element("svg", *cells, viewBox=f"0 0 {side} {side}", width=side, height=side, role="img", aria_label="autocorrelation")


def _fit(diagnosis: Diagnosis) -> Markup:
    level = diagnosis.level
    top = 1.15 * max([point.sigma for point in level.curve] + [1.0])
    colours = COLOURS[diagnosis.channels]
    dots = [
        element(
            "circle", cx=_x(point.intensity), cy=_y(point.sigma / top), r=1.5 + min(point.blocks, 60) ** 0.5 / 3,
            fill=colours[point.channel], fill_opacity=0.6,
        )
        for point in level.curve
    ]  # fmt: skip
    x = np.linspace(0, 1, 60)
    path = " ".join(f"{_x(a):.1f},{_y(min(b / top, 1)):.1f}" for a, b in zip(x, 255 * level.std_at(x), strict=True))
    curve = element("polyline", points=path, fill="none", stroke="#d68910", stroke_width=2)
    axes = [
        element("line", x1=_x(0), y1=_y(0), x2=_x(1), y2=_y(0), stroke="#888"),
        element("line", x1=_x(0), y1=_y(0), x2=_x(0), y2=_y(1), stroke="#888"),
        _text(_x(1), HEIGHT - 8, "intensity 1", "end"), _text(_x(0), HEIGHT - 8, "0", "middle"),
        _text(4, _y(1) + 4, f"{top:.0f}", "start"),
    ]  # fmt: skip
    box = f"0 0 {WIDTH} {HEIGHT}"
    return element("svg", *axes, *dots, curve, viewBox=box, width=WIDTH, height=HEIGHT, role="img", aria_label="level and fit")


def _x(share: float) -> float:
    return float(PAD + min(max(share, 0), 1) * (WIDTH - PAD - 10))


def _y(share: float) -> float:
    return float(HEIGHT - 26 - share * (HEIGHT - 40))


def _text(x: float, y: float, text: str, anchor: str, size: int = 11) -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor, font_size=size, fill="currentColor")
