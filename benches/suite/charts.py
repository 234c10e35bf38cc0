"""Draws figures as SVG."""

import os

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot, ticker  # noqa: E402  (the backend comes first)

# Ours are warm and thick, the server's own are cold, another module's is grey.
COLOURS = {
    "VADD": "#c0392b", "VADDRAW": "#e67e22", "VMGET": "#c0392b", "VGET": "#c0392b", "VGETRAW": "#e67e22", "array": "#c0392b",
    "arrays": "#c0392b", "VADD of 1": "#c0392b", "VADD of 100": "#e67e22",
    "RPUSH": "#2471a3", "LINDEX": "#2471a3", "LRANGE": "#2471a3", "list": "#2471a3", "lists": "#2471a3",
    "RPUSH of 1": "#2471a3", "RPUSH of 100": "#5dade2",
    "APPEND": "#148f77", "GETRANGE": "#148f77", "string": "#148f77",
    "HSET": "#7d3c98", "HMGET": "#7d3c98", "HGET": "#7d3c98", "hash": "#7d3c98",
}
OTHER = "#7f8c8d"
OURS = "#c0392b"


def style(name):
    colour = COLOURS.get(name, OTHER)
    return {"color": colour, "linewidth": 2.4 if colour == OURS else 1.5, "marker": "o", "markersize": 4}


def points(figure, name):
    xs = [x for x in figure.xs if figure.median(name, x) is not None]
    return xs, [figure.median(name, x) for x in xs]


def spread(figure, name, xs):
    rounds = [figure.cells[name][x] for x in xs]
    return [min(one) for one in rounds], [max(one) for one in rounds]


def lines(figure, axes):
    for name in figure.cells:
        xs, medians = points(figure, name)
        axes.plot(xs, medians, label=name, **style(name))
        axes.fill_between(xs, *spread(figure, name, xs), color=COLOURS.get(name, OTHER), alpha=0.12, linewidth=0)
    axes.set(xscale="log", yscale="log", xticks=figure.xs)
    axes.set_xticklabels([f"{x:,}" if x < 10**5 else f"10{exponent(x)}" for x in figure.xs])
    axes.xaxis.minorticks_off()
    logarithmic(axes, ticker.EngFormatter(sep=""))


def logarithmic(axes, formatter):
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(formatter)
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def exponent(power_of_ten):
    return str(len(str(power_of_ten)) - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def percentiles(figure, axes):
    positions = range(len(figure.xs))
    for name in figure.cells:
        axes.plot(positions, points(figure, name)[1], label=name, **style(name))
    axes.set(yscale="log", xticks=positions)
    axes.set_xticklabels(["max" if x == 100 else f"{x:g}" for x in figure.xs])
    logarithmic(axes, ticker.StrMethodFormatter("{x:,.0f}"))


def bars(figure, axes):
    width = 0.8 / len(figure.cells)
    for position, name in enumerate(figure.cells):
        xs, medians = points(figure, name)
        left = [figure.xs.index(x) + (position + 0.5) * width - 0.4 for x in xs]
        drawn = axes.bar(left, medians, width, label=name, color=COLOURS.get(name, OTHER))
        texts = [f"{median:,.3g}" if median < 1000 else f"{median:,.0f}" for median in medians]
        axes.bar_label(drawn, texts, fontsize=7, padding=1)
    axes.set_xticks(range(len(figure.xs)), [f"{x:,}" if isinstance(x, int) else x for x in figure.xs])
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=""))


def draw(figure, folder):
    """Writes `folder/<slug>.svg`."""
    # Text stays text, and the same figure is the same file.
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": figure.slug, "font.size": 9}):
        canvas, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
        {"lines": lines, "percentiles": percentiles, "bars": bars}[figure.form](figure, axes)
        axes.set(xlabel=figure.x_label, ylabel=figure.y_label, title=figure.title)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        canvas.savefig(os.path.join(folder, f"{figure.slug}.svg"), facecolor="white", metadata={"Date": None})
        pyplot.close(canvas)
