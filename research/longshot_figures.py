"""What the study of the longshot bias found, drawn for paper, the same bytes each time."""

from pathlib import Path

import polars as pl

from kalshi_bt.report.static import Static, look

INK = {"taker": "#0072b2", "maker": "#b34700", "price": "#4a5260"}
SHAPE = {"longshot": "o", "favourite": "s"}


def draw_cents(cents: pl.DataFrame, name: str, path: Path, told: pl.DataFrame | None) -> None:
    """Draw excess and mispricing by cent, with intervals, and what was published beside them.

    Parameters
    ----------
    cents : frame as of `longshot_rates.each_cent`
    name : str
        Of the dataset.
    path : Path
        Ends in ``.svg``, ``.png`` or ``.pdf``.
    told : frame or None
        cents, taker_excess (points), taker_mispricing (percent).
    """
    with look():
        figure = Static(figsize=(8, 6))
        above, below = figure.subplots(2, 1, sharex=True)
        for role, part in cents.partition_by("role", as_dict=True, maintain_order=True).items():
            for axis, mean, prefix in ((above, "excess", ""), (below, "mispricing", "mispricing_")):
                x, y = part["cent"], 100 * part[mean]
                axis.plot(x, y, color=INK[role[0]], label=role[0], lw=1)
                ends = (100 * part[f"{prefix}{end}"] for end in ("low", "high"))
                axis.fill_between(x, *ends, color=INK[role[0]], alpha=0.15, lw=0)
        for axis, column in ((above, "taker_excess"), (below, "taker_mispricing")):
            axis.axhline(0, color="#a5a9ae", lw=0.8)
            if told is not None:
                axis.plot(told["cents"], told[column], "k.", ms=3, label="taker, published")
        above.set(title=f"{name}: 95 % intervals of clustered errors", ylabel="excess, cents")
        below.set(xlabel="price of the side bought, cents", ylabel="mispricing, % (cut at 100)")
        below.set_ylim(-100, 100)
        above.legend(frameon=False, ncols=4)
        figure.savefig(path)


def draw_breakdown(table: pl.DataFrame, name: str, path: Path) -> None:
    """Draw the excess of longshots and favourites in every breakdown, with intervals.

    Parameters
    ----------
    table : frame as of `longshot_bias.study`
    name, path
        As for `draw_cents`.
    """
    shown = table.filter(pl.col("band").is_in(list(SHAPE)))
    groups = [f"{by}: {value}" for by, value in shown.select("by", "value").unique(
        maintain_order=True).iter_rows()]  # fmt: skip
    with look():
        figure = Static(figsize=(8, 1.6 + 0.6 * len(groups)), layout="constrained")
        axis = figure.subplots()
        for number, ((role, band), part) in enumerate(
            sorted(shown.partition_by("role", "band", as_dict=True).items())
        ):
            at = [groups.index(f"{by}: {value}") + 0.12 * number - 0.3 for by, value in part.select(
                "by", "value").iter_rows()]  # fmt: skip
            mean, error = 100 * part["excess"], 196 * part["error"].fill_nan(0.0)
            look_of = {"color": INK[role], "marker": SHAPE[band], "ms": 4, "capsize": 2}
            axis.errorbar(mean, at, xerr=error, ls="none", label=f"{role}, {band}", **look_of)
        axis.axvline(0, color="#a5a9ae", lw=0.8)
        axis.set_yticks(range(len(groups)), groups)
        axis.invert_yaxis()
        axis.set(title=f"{name}: payout less price", xlabel="cents a contract, gross of fees")
        figure.legend(frameon=False, ncols=3, loc="outside lower center", fontsize=7)
        figure.savefig(path)
