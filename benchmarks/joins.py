"""Accuracy before any training, for every single conv of three nets, by where the weights at the gap come from.

    python benchmarks/joins.py [--nets vgg16_bn resnet20 mobilenet_v2] [--data folder:cifar10]

Each figure is kept in benchmarks/results/joins.jsonl as soon as it is known. A least-squares join is fitted on training
images; accuracy is on test images.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from torch import nn

from benchmarks.baselines import SHAPE, WIDTHS, Setting, accuracy, add_options, baseline, open_images, settings_of
from benchmarks.report import Findings, machine, markdown, write_result, write_section
from cnngraph.datasets.registry import Data, loader
from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.plan import Init, Plan, Removal
from cnngraph.surgery.apply import apply_with_report
from cnngraph.surgery.check import removable

INITS = get_args(Init)
NETS = tuple(WIDTHS)


def main() -> None:
    """Measure what is not known yet and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=NETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test-images", type=int, default=2000)
    add_options(parser)
    options = parser.parse_args()
    settings = settings_of(options, NETS)
    found = Findings("joins", ("setting", "net", "conv", "init"))
    data = open_images(next(iter(settings.values())))
    for net in options.nets:
        model = baseline(net, settings[net], data, options.seed)
        _measure(net, model, settings[net].label, data, options, found)
    rows = [row for row in found.all() if row["setting"] == settings[row["net"]].label]
    write_result("joins", {"benchmark": "joins", "machine": machine(), "findings": rows})
    write_section("joins", page(rows, settings, options.test_images))


def _measure(net: str, model: nn.Module, label: str, data: Data, options: argparse.Namespace, found: Findings) -> None:
    test = data.test.take(range(0, len(data.test), max(len(data.test) // options.test_images, 1)))
    if found.get(label, net, "", "") is None:
        found.add({"setting": label, "net": net, "conv": "", "init": "", "accuracy": accuracy(model, test)})
    reasons = removable(follow(model, SHAPE))
    for conv, reason in reasons.items():
        for init in INITS:
            if found.get(label, net, conv, init) is not None:
                continue
            row: dict[str, Any] = {"setting": label, "net": net, "conv": conv, "init": init}
            found.add(row | ({"reason": reason} if reason else _one(model, conv, init, data, test, options.seed)))


def _one(model: nn.Module, conv: str, init: Init, data: Data, test: object, seed: int) -> dict[str, Any]:
    """Accuracy without ``conv``, and the largest relative error of the joins where they were fitted."""
    plan = Plan(removes=(Removal(layer=conv),), init=init)
    try:
        slim, report = apply_with_report(model, plan, loader=loader(data.train), seed=seed, input_shape=SHAPE)
    except PlanError as error:
        return {"reason": error.message}
    return {
        "accuracy": accuracy(slim, test),
        "error": max(report.errors.values(), default=None),
        "removed": list(report.removed),
    }


def page(rows: list[dict[str, Any]], settings: dict[str, Setting], test_images: int) -> str:
    """The section of docs/results.md: a table a net."""
    known, any_of = machine(), next(iter(settings.values()))
    said = (
        f"{any_of.images} Baselines were trained for {any_of.epochs} epochs. Accuracy on {test_images:,} test images. "
        f"*error*: the relative error of the least-squares join. {known['processor']}, {known['date']}."
    )
    parts = [said]
    for net in dict.fromkeys(row["net"] for row in rows):
        mine = [row for row in rows if row["net"] == net]
        whole = next(row["accuracy"] for row in mine if not row["conv"])
        header = ("conv", *INITS, "error", "goes with it")
        parts.append(
            f"### {net} of width {settings[net].width:g}: {whole:.1%} before\n\n{markdown(header, _table(mine))}"
        )
    return "\n\n".join(parts)


def _table(rows: list[dict[str, Any]]) -> list[list[object]]:
    table = []
    for conv in dict.fromkeys(row["conv"] for row in rows if row["conv"]):
        by_init = {row["init"]: row for row in rows if row["conv"] == conv}
        fitted = by_init.get("least-squares", {})
        others = [name for name in fitted.get("removed", []) if name != conv]
        error = fitted.get("error")
        table.append(
            [
                conv,
                *(_percent(by_init.get(init, {})) for init in INITS),
                "" if error is None else f"{error:.2f}",
                fitted.get("reason") or ", ".join(others),
            ]
        )
    return table


def _percent(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.1%}" if "accuracy" in row else "-"


if __name__ == "__main__":
    main()
