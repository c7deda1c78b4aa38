"""The history as a picture (SVG): a panel for each main figure, its target dashed, its yardstick in grey."""

from collections.abc import Sequence
from html import escape

from tests.benchmarks.history import MAIN, Line, Main
from tests.benchmarks.results import number

COLUMNS = 3
WIDTH, HEIGHT = 320, 230  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 22, 58, 58, 42  # around a panel's plot
HEAD = 62
LABEL = 15  # from one label to the next
INK, SOFT, LINE, TARGET = "#1f2933", "#7b8794", "#1769aa", "#c2410c"
Points = list[tuple[float, float]]


def picture(lines: Sequence[Line]) -> str:
    """The runs on the machine of the last one, from left to right; of one panel each of MAIN."""
    machine = lines[-1].machine
    runs = [line for line in lines if _place(line) == _place(lines[-1])]
    rows = -(-len(MAIN) // COLUMNS)
    width, height = COLUMNS * WIDTH + 24, HEAD + rows * HEIGHT + 12
    about = f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, servers and client on it too"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        "font-family=\"-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\">",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        _text(24, 30, "How fast it is, run by run", INK, 18, weight=600),
        _text(24, 50, about, SOFT, 12),
    ]
    for at, main in enumerate(MAIN):
        x, y = 12 + at % COLUMNS * WIDTH, HEAD + at // COLUMNS * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{"".join(_panel(main, runs))}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _place(line: Line) -> tuple[object, ...]:
    return tuple(line.machine.get(name) for name in ("processor", "cores", "memory"))


def _panel(main: Main, runs: Sequence[Line]) -> list[str]:
    own = [(at, run.figures[main.key]) for at, run in enumerate(runs) if main.key in run.figures]
    key = f"{main.key}: yardstick"
    beside = [(at, run.figures[key]) for at, run in enumerate(runs) if key in run.figures]
    bound = main.bound * beside[-1][1] if main.is_share and beside else main.bound
    top = 1.12 * max([bound, *(value for _, value in (*own, *beside))])
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def spot(at: int, value: float) -> tuple[float, float]:
        step = (right - LEFT - 24) / max(1, len(runs) - 1)
        return LEFT + 12 + at * step, bottom - value / top * (bottom - TOP)

    direction = "less is better" if main.less_is_better else "more is better"
    goal = spot(0, bound)[1]
    aim = f"{'≤' if main.less_is_better else '≥'} {f'{main.bound:.0%}' if main.is_share else number(main.bound)}"
    unit = "per second" if main.unit == "/s" else main.unit
    parts = [
        _text(LEFT, 22, main.title, INK, 13, weight=600),
        _text(LEFT, 38, f"{unit}, {direction}", SOFT, 11),
        f'<path d="M{LEFT} {bottom}H{right}" stroke="#cbd2d9"/>',
        f'<path d="M{LEFT} {goal:.1f}H{right}" stroke="{TARGET}" stroke-dasharray="5 4"/>',
        _text(right + 6, goal + 4, aim, TARGET, 11),
    ]
    if beside:
        points = [spot(at, value) for at, value in beside]
        parts += _line(points, SOFT, 1.5, 2.5)
        parts.append(_text(points[0][0] - 12, points[0][1] - 8, main.yardstick_title, SOFT, 11))
    if own:
        points = [spot(at, value) for at, value in own]
        parts += _line(points, LINE, 2.5, 4)
        last = points[-1][1]
        if abs(last - goal) < LABEL:  # or it would lie on the target's
            last = goal + (LABEL if last >= goal else -LABEL)
        parts.append(_text(points[-1][0] + 8, last + 4, number(own[-1][1]), LINE, 12, weight=600))
        if len(own) > 1:
            parts.append(_text(points[0][0], points[0][1] + 17, number(own[0][1]), LINE, 12, anchor="middle"))
    for at in sorted({0, len(runs) - 1}):
        name = runs[at].commit or runs[at].date[:10]
        parts.append(_text(spot(at, 0)[0], bottom + 16, name, SOFT, 10, anchor="middle"))
        parts.append(_text(spot(at, 0)[0], bottom + 29, runs[at].date[:10], SOFT, 10, anchor="middle"))
    return parts


def _line(points: Points, colour: str, width: float, radius: float) -> list[str]:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>' for x, y in points]
    return [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>', *dots]


def _text(x: float, y: float, text: str, colour: str, size: int, *, weight: int = 400, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" stroke="#ffffff" stroke-width="3" paint-order="stroke">{escape(text)}</text>'
    )
