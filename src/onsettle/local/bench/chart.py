"""The throughput of one result as an SVG bar chart, readable on light and dark pages."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from onsettle.local.bench.targets import at

_BAR, _GAP, _LEFT, _WIDTH, _RIGHT = 22, 8, 330, 380, 90
_COLOURS = {"others": "#8b949e", "ours": "#2f81f7", "floor": "#c9d1d9"}
_TEXT = "#6e7781"

#: (where in the result, label, kind), from slow to fast as it usually comes out.
ROWS = (
    (("profiles", "guide"), "the guide's server (emulated)", "others"),
    (
        ("peer", "x402_python", "two_second_blocks"),
        "x402 facilitator, Python, 2 s blocks",
        "others",
    ),
    (
        ("peer", "x402_typescript", "two_second_blocks"),
        "x402 facilitator, TypeScript, 2 s blocks",
        "others",
    ),
    (
        ("peer", "x402_python", "instant_blocks"),
        "x402 facilitator, Python, instant blocks",
        "others",
    ),
    (
        ("peer", "x402_typescript", "instant_blocks"),
        "x402 facilitator, TypeScript, instant blocks",
        "others",
    ),
    (("profiles", "sync"), "Onsettle, payment_mode = sync", "ours"),
    (("profiles", "default"), "Onsettle, default settings", "ours"),
    (("profiles", "single"), "Onsettle, one per transaction, 4 wallets", "ours"),
    (("profiles", "packed_50"), "Onsettle, packs of 50", "ours"),
    (("profiles", "packed"), "Onsettle, packs of 100, 2 wallets", "ours"),
    (("profiles", "payments_only"), "Onsettle, the same with nothing to mint", "ours"),
    (("profiles", "two_workers"), "Onsettle, packs of 100, 2 workers", "ours"),
    (("floor", "single"), "the node alone, one per transaction", "floor"),
    (("floor", "packed"), "the node alone, packs of 100", "floor"),
)


def rates(result: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """(label, kind, payments per second) of what was measured."""
    for path, label, kind in ROWS:
        rate = at(*path, "payments_per_second")(result)
        if rate is not None:
            yield label, kind, rate


def draw(result: Mapping[str, Any]) -> str:
    """The whole picture."""
    bars = list(rates(result))
    most = max((rate for _, _, rate in bars), default=1.0)
    height = 34 + len(bars) * (_BAR + _GAP)
    box = f"0 0 {_LEFT + _WIDTH + _RIGHT} {height}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">',
        f'<g font-family="sans-serif" font-size="14" fill="{_TEXT}">',
        "<title>Payments per second, from the first acceptance to the last completion</title>",
        f'<text x="{_LEFT}" y="16">payments per second</text>',
    ]
    for position, (label, kind, rate) in enumerate(bars):
        top = 28 + position * (_BAR + _GAP)
        width = max(2, round(_WIDTH * rate / most))
        middle, colour = top + _BAR - 6, _COLOURS[kind]
        lines += [
            f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{_LEFT}" y="{top}" width="{width}" height="{_BAR}" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 8}" y="{middle}">{_rounded(rate)}</text>',
        ]
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _rounded(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
