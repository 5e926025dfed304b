#!/usr/bin/env python3
"""drawings.py [--check]: draw the pictures of the documentation into docs/drawings/*.svg.

With ``--check`` nothing is written, and the exit status is 1 where a picture is not what this script draws. Each
picture brings its own background and follows the reader's light or dark scheme.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs" / "drawings"
_STYLE: Final = """
  .paper { fill: #ffffff; stroke: #d0d7de }
  .box { fill: #f3f6fa; stroke: #57606a } .topic { fill: #fff8e6; stroke: #9a6700 }
  .good { fill: #e6f5ea; stroke: #1a7f37 } .bad { fill: #ffebe9; stroke: #cf222e }
  .bar { fill: #2f6fb5 } .badbar { fill: #cf222e }
  .line { stroke: #57606a; fill: none } .badline { stroke: #cf222e; fill: none }
  .head { fill: #57606a } .badhead { fill: #cf222e }
  text { fill: #1f2328; font-size: 13px; font-family: system-ui, "DejaVu Sans", sans-serif }
  .title { font-weight: 600 } .small { font-size: 11.5px }
  .mono { font-size: 11.5px; font-family: ui-monospace, "DejaVu Sans Mono", monospace } .badtext { fill: #a40e26 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; stroke: #30363d }
    .box { fill: #1c2330; stroke: #8b949e } .topic { fill: #2d2509; stroke: #d29922 }
    .good { fill: #10281a; stroke: #3fb950 } .bad { fill: #2f1416; stroke: #f85149 }
    .bar { fill: #58a6ff } .badbar { fill: #f85149 }
    .line { stroke: #8b949e } .badline { stroke: #f85149 } .head { fill: #8b949e } .badhead { fill: #f85149 }
    text { fill: #e6edf3 } .badtext { fill: #ff9d96 }
  }
"""
_LINE: Final = 17
"""Pixels from one line of text to the next."""


class Drawing:
    """One picture. Coordinates are pixels from the top left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = (width, height)
        self._title = title
        self._parts: list[str] = []

    def text(self, x: float, y: float, words: str, style: str = "", anchor: str = "start") -> None:
        """Write a line; ``y`` is its base line, ``anchor`` start, middle or end."""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>')

    def box(  # noqa: PLR0917
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: Sequence[str],
        style: str = "box",
        *,
        rest: str = "small",
    ) -> None:
        """Draw a box with centred lines; the first is its title, ``rest`` is the style of the others."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" class="{style}"'
            ' stroke-width="1.3"/>'
        )
        top = y + height / 2 - (len(lines) - 1) * _LINE / 2 + 4.5
        for number, line in enumerate(lines):
            self.text(x + width / 2, top + number * _LINE, line, rest if number else "title", "middle")

    def bar(self, x: float, y: float, width: float, style: str = "bar") -> None:
        """Draw a bar of a chart."""
        self._parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="11" class="{style}"/>')

    def arrow(self, points: Sequence[tuple[float, float]], *, bad: bool = False, dashed: bool = False) -> None:
        """Draw an arrow along the points."""
        kind = "bad" if bad else ""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<polyline points="{path}" class="{kind}line" stroke-width="1.5" marker-end="url(#{kind}head)"{dash}/>'
        )

    def svg(self) -> str:
        """Return the picture as the text of an SVG file."""
        width, height = self._size
        heads = "".join(
            f'<marker id="{kind}head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            f' orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" class="{kind}head"/></marker>'
            for kind in ("", "bad")
        )
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            f' role="img" aria-label="{escape(self._title)}">\n<title>{escape(self._title)}</title>\n'
            f"<style>{_STYLE}</style>\n<defs>{heads}</defs>\n"
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" class="paper"/>\n{body}\n</svg>\n'
        )


def apply_to_packet() -> Drawing:
    """From kubectl apply to the first packet."""
    drawing = Drawing(860, 408, "From kubectl apply to the first packet")
    step, wide, high = 168, 144, 58
    services = [
        ("watcher", "the Service", "becomes a fact"),
        ("network-selector", "which network,", "and why"),
        ("ipam", "which address:", "one ledger entry"),
        ("planner", "nodes with ready", "pods, and weights"),
        ("agent", "programs the", "machine, reports"),
    ]
    drawing.box(18, 20, 150, 44, ["kubectl apply"])
    drawing.arrow([(168, 42), (206, 42)])
    drawing.box(208, 20, 200, 44, ["Kubernetes API server"])
    drawing.arrow([(250, 64), (250, 96), (70, 96), (70, 126)])
    drawing.text(80, 90, "1 watch", "small")
    for number, lines in enumerate(services):
        drawing.box(18 + number * step, 128, wide, high + 18, lines)
    topics = ["facts", "intents", "ledger", "paths", "reports"]
    for number, name in enumerate(topics):
        x = 18 + number * step
        drawing.box(x, 246, wide, 32, [name], "topic")
        drawing.arrow([(x + 50, 204), (x + 50, 244)])
        if number < len(topics) - 1:
            drawing.arrow([(x + wide, 262), (x + wide + 12, 262), (x + wide + 12, 166), (x + step - 2, 166)])
    for number, label in enumerate(("2", "3", "4", "6", "8")):
        drawing.text(18 + number * step + 38, 230, label, "small", "end")
    drawing.arrow([(436, 278), (436, 300), (7, 300), (7, 166), (16, 166)])
    drawing.text(
        186, 316, "5 the watcher reads the entry and writes the status: the address is visible", "small", "start"
    )
    drawing.arrow([(120, 126), (120, 108), (330, 108), (330, 66)])
    drawing.text(338, 90, "5 one patch: address, conditions, finalizer", "small")
    drawing.arrow([(18 + 4 * step + wide, 166), (847, 166), (847, 362), (722, 362)])
    drawing.box(540, 340, 180, 44, ["kernel, routers", "7 weighted next hops"])
    drawing.box(20, 340, 148, 44, ["client"])
    drawing.arrow([(168, 362), (538, 362)])
    drawing.text(350, 354, "9 first packet to the address", "small", "middle")
    drawing.text(350, 380, "the kernel picks a node by weight; the node's pods answer", "small", "middle")
    return drawing


def life_of_an_address() -> Drawing:
    """The states of an address."""
    drawing = Drawing(860, 330, "The life of an address")
    y, high = 120, 64
    boxes = [
        (18, 116, ["never used", "lowest first"], "box"),
        (196, 128, ["held", "by one Service,", "or by sharers"], "good"),
        (392, 132, ["releasing", "agents withdraw", "and confirm"], "box"),
        (590, 116, ["quarantined", "5 minutes"], "box"),
        (726, 116, ["leased", "24 hours"], "box"),
    ]
    for x, width, lines, style in boxes:
        drawing.box(x, y, width, high, lines, style)
    drawing.arrow([(134, 152), (194, 152)])
    drawing.text(164, 144, "allocate", "small", "middle")
    drawing.arrow([(324, 152), (390, 152)])
    drawing.text(357, 144, "withdraw", "small", "middle")
    drawing.arrow([(524, 152), (588, 152)])
    drawing.text(556, 144, "release", "small", "middle")
    drawing.arrow([(706, 152), (724, 152)])
    drawing.arrow([(458, 118), (458, 92), (260, 92), (260, 118)])
    drawing.text(360, 84, "the Service is back before the release", "small", "middle")
    drawing.arrow([(648, 118), (648, 56), (240, 56), (240, 118)])
    drawing.text(
        444, 48, "its former holder comes back; or the network is full (unless strictQuarantine)", "small", "middle"
    )
    drawing.arrow([(784, 118), (784, 24), (220, 24), (220, 118)])
    drawing.text(502, 16, "its former holder comes back, or nothing else is free", "small", "middle")
    drawing.arrow([(784, 186), (784, 252), (590, 252)])
    drawing.text(778, 244, "the lease ends", "small", "end")
    drawing.box(460, 226, 128, 52, ["free", "longest free first"])
    drawing.arrow([(458, 252), (260, 252), (260, 186)])
    drawing.text(360, 244, "allocate", "small", "middle")
    drawing.text(
        18,
        312,
        "Each arrow is an event in the ledger. A Service that only waits, or an agent that is down, moves no address.",
        "small",
    )
    return drawing


def chain() -> Drawing:
    """The chain of a network's entries, whole and edited."""
    drawing = Drawing(860, 366, "The chain, whole and edited")
    drawing.text(20, 30, "Whole: each entry carries the hash of the one before", "title")
    whole = [
        ("entry 1", "prev 0000…", "shop/web gets .2", "hash 3fa1…"),
        ("entry 2", "prev 3fa1…", "shop/api gets .3", "hash 9c07…"),
        ("entry 3", "prev 9c07…", "shop/web releases .2", "hash b44e…"),
        ("entry 4", "prev b44e…", "edge/dns gets .4", "hash 61d8…"),
    ]
    _entries(drawing, 46, whole, ["good"] * 4)
    drawing.text(20, 202, "Edited: an attacker writes shop/mine into entry 2", "title")
    edited = [
        ("entry 1", "prev 0000…", "shop/web gets .2", "hash 3fa1…"),
        ("entry 2", "prev 3fa1…", "shop/mine gets .3", "hash e52b…"),
        ("entry 3", "prev 9c07… ≠ e52b…", "shop/web releases .2", "hash b44e…"),
        ("entry 4", "prev b44e…", "edge/dns gets .4", "hash 61d8…"),
    ]
    _entries(drawing, 218, edited, ["good", "bad", "bad", "box"], broken=2)
    what_follows = (
        "Every reader stops at entry 3: this network decides nothing new, and its holders keep their addresses."
    )
    drawing.text(20, 346, what_follows, "small")
    return drawing


def _entries(
    drawing: Drawing,
    y: float,
    entries: Iterable[Sequence[str]],
    styles: Sequence[str],
    *,
    broken: int = 0,
) -> None:
    """Draw entries side by side; ``broken`` is the number of the link that does not hold, 0 for none."""
    wide, step = 184, 210
    for number, lines in enumerate(entries):
        x = 20 + number * step
        drawing.box(x, y, wide, 96, lines, styles[number], rest="mono")
        if number:
            drawing.arrow(
                [(x - 2, y + 40), (x - step + wide + 2, y + 40)], bad=number == broken, dashed=number == broken
            )


def weights() -> Drawing:
    """Weighted next hops against plain ECMP."""
    drawing = Drawing(860, 392, "Weighted next hops against plain ECMP")
    _spread(drawing, 20, "Plain ECMP: the same for each node", (1, 1, 1), plain=True)
    _spread(drawing, 446, "LedgerLB: a node counts as often as it has ready pods", (1, 2, 3), plain=False)
    return drawing


def _spread(drawing: Drawing, x: float, title: str, hops: Sequence[int], *, plain: bool) -> None:
    """Draw how a gateway spreads flows over nodes with one, two and three pods."""
    drawing.text(x, 30, title, "title")
    drawing.box(x, 176, 92, 46, ["gateway"])
    busiest = max(hop / sum(hops) / pods for pods, hop in enumerate(hops, 1))
    y = 50.0
    shares = []
    for pods, hop in enumerate(hops, 1):
        share = hop / sum(hops)
        middle = y + 8 + pods * 15
        drawing.box(x + 176, middle - 24, 92, 48, [f"node-{pods}", f"{pods} pod" + "s" * (pods > 1)])
        drawing.arrow([(x + 92, 199), (x + 120, 199), (x + 120, middle), (x + 174, middle)])
        drawing.text(x + 147, middle - 6, f"{share:.0%}", "small", "middle")
        for pod in range(pods):
            each = share / pods
            shares.append(each)
            top = middle - pods * 11 + pod * 22 + 5
            hot = plain and each == busiest
            drawing.bar(x + 280, top, each * 165, "badbar" if hot else "bar")
            drawing.text(x + 280 + each * 165 + 6, top + 10, f"{each:.1%}", "small")
        y += 88 + pods * 8
    ratio = max(shares) / min(shares)
    drawing.text(x, 352, f"Busiest pod: {max(shares):.1%} of the flows, idlest: {min(shares):.1%}", "small")
    drawing.text(x, 372, f"Ratio {ratio:.1f} to 1", "badtext title" if plain else "title")


DRAWINGS: Final[dict[str, Callable[[], Drawing]]] = {
    "apply-to-packet": apply_to_packet,
    "life-of-an-address": life_of_an_address,
    "chain": chain,
    "weights": weights,
}


def main(check: bool) -> int:
    """See module."""
    stale = []
    for name, draw in DRAWINGS.items():
        path, fresh = FOLDER / f"{name}.svg", draw().svg()
        if not path.exists() or path.read_text("utf-8") != fresh:
            stale.append(path.name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(fresh, "utf-8")
    if stale:
        print(f"drawings: {', '.join(stale)} {'not as this script draws them: run make docs' if check else 'written'}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
