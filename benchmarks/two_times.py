"""Twice as fast, measured: layers by graph measures, filters, nulls, Torch-Pruning, and smaller nets from scratch.

    python benchmarks/two_times.py [--nets resnet20 mobilenet_v2] [--seeds 3] [--data folder:cifar10] [--quick]

For each net and seed a baseline is trained on a part of CIFAR-10. Every method then takes as much out of it as makes it
run twice as fast (the nearest that it can do, found by measuring, in turns with the baseline), and what is left is
fine-tuned for the same number of epochs. Layers go in the order of the measure, and joins are fitted by least squares;
filters that are "reconstructed" have the layers that read them refitted, too.
The best graph measure is chosen on validation images, before any training, and so is the best of as many random orders:
what choosing alone is worth. Test images are looked at once, at the end.
A smaller net from scratch is trained for as many epochs as baseline and fine-tuning together.

Each finding is kept in benchmarks/results/two_times.jsonl, so that the work can be interrupted and goes on where it
stopped. The defaults take about two hours on two cores; ``--quick`` is a scale that only shows that all of it works,
and says so on the page.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from torch import nn

from benchmarks.baselines import SHAPE, accuracy, add_options, baseline, open_images, settings_of, train
from benchmarks.contenders import CHOICES, CONTENDERS, Cut, Subject, layer_cuts
from benchmarks.report import Findings, machine, markdown, write_result, write_section
from cnngraph.datasets.registry import Data
from cnngraph.errors import CnngraphError
from cnngraph.network.graph import follow
from cnngraph.origin import get_origin
from cnngraph.surgery.reconstruct import reconstruct
from cnngraph.surgery.verify import train_failure
from cnngraph.training.latency import Passes, measure_latency

NETS = ("resnet20", "mobilenet_v2")
FINE_TUNING_RATE = 3e-4
TOLERANCE = 0.15  # of the speed-up that is wanted
_TRIES = 4  # of a measurement while it scatters
_QUICK = {"images_per_class": 40, "epochs": 2, "fine_tune": 1, "seeds": 1}


def main() -> None:
    """Measure what is not known yet and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=NETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fine-tune", type=int, default=3, help="epochs after the cut")
    parser.add_argument("--speedup", type=float, default=2.0)
    parser.add_argument("--batch", type=int, default=64, help="images a pass of which the latency is measured")
    parser.add_argument("--repeats", type=int, default=11, help="passes that a latency is the median of")
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS, metavar="NAME")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing further after so long")
    parser.add_argument("--quick", action="store_true", help="a scale at which the figures mean nothing")
    add_options(parser)
    options = parser.parse_args()
    for name, value in _QUICK.items() if options.quick else ():
        setattr(options, name, value)
    race = Race(options)
    race.run(time.monotonic() + 60 * options.minutes)
    race.report()


class Race:
    """All contenders over nets and seeds; what is known is skipped."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.settings = settings_of(options, NETS)
        self.found = Findings("two_times", ("setting", "net", "seed", "contender"))

    def label(self, net: str) -> str:
        """What every finding about a net shares."""
        options = self.options
        return f"{self.settings[net].label}-f{options.fine_tune}-b{options.batch}-x{options.speedup:g}"

    def run(self, until: float) -> None:
        """Find what is missing, net by net and seed by seed, seeds first, until the time is up."""
        data = open_images(next(iter(self.settings.values())))
        for seed in range(self.options.seeds):
            for net in self.options.nets:
                missing = [
                    name for name in self.options.contenders if self.found.get(self.label(net), net, seed, name) is None
                ]
                if not missing or time.monotonic() > until:
                    continue
                setting = self.settings[net]
                subject = Subject(net, baseline(net, setting, data, seed), data, seed, setting.width)
                for name in missing:
                    if time.monotonic() > until:
                        return
                    self.found.add(self._one(name, subject, data))

    def _one(self, name: str, subject: Subject, data: Data) -> dict[str, Any]:
        began = time.monotonic()
        row = {"setting": self.label(subject.net), "net": subject.net, "seed": subject.seed, "contender": name}
        try:
            row |= self._raced(name, subject, data)
        except CnngraphError as error:
            row |= {"failure": error.message}
        except Exception as error:  # noqa: BLE001 (another library's failure is a finding too)
            row |= {"failure": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        row["seconds"] = round(time.monotonic() - began, 1)
        print(row, file=sys.stderr, flush=True)
        return row

    def _raced(self, name: str, subject: Subject, data: Data) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if name in CHOICES:
            found, net, speedup = self._chosen(subject, data, CHOICES[name])
        else:
            net, speedup = self._reach(subject.model, CONTENDERS[name](subject))
        origin = get_origin(net)
        if name.endswith("reconstructed") and origin is not None:
            reconstruct(subject.model, net, origin.plans[-1], loader=subject.batches(), seed=subject.seed)
        failure = train_failure(subject.model, net, SHAPE)
        if failure:
            return found | {"failure": failure, "speedup": speedup}
        before = accuracy(net, data.test)
        epochs = self.options.fine_tune + (self.options.epochs if name == "from scratch" else 0)
        rate = None if name == "from scratch" else FINE_TUNING_RATE
        train(net, data, epochs, subject.seed, rate)
        timed = {
            batch: measure_latency(
                {"old": subject.model, "new": net},
                SHAPE,
                passes=Passes(repeats=self._repeats, tries=_TRIES),
                batch_size=batch,
            )
            for batch in {1, self.options.batch}
        }
        return found | {
            "untrained": before,
            "accuracy": accuracy(net, data.test),
            "baseline": subject.accuracy,
            "speedup": _ratio(timed[self.options.batch].median_ms),
            "speedup_batch_1": _ratio(timed[1].median_ms),
            "parameters": _parameters(net) / _parameters(subject.model),
            "macs": _macs(net) / _macs(subject.model),
            "epochs": epochs,
        }

    @property
    def _repeats(self) -> int:
        return int(self.options.repeats)

    def _chosen(self, subject: Subject, data: Data, measures: Iterable[str]) -> tuple[dict[str, Any], nn.Module, float]:
        """The measure whose net, joined and untrained, is best on validation images; that net and its speed-up."""
        scores: dict[str, float] = {}
        nets: dict[str, tuple[nn.Module, float]] = {}
        for measure in measures:
            try:
                nets[measure] = self._reach(subject.model, layer_cuts(subject, measure))
            except CnngraphError:
                continue
            scores[measure] = accuracy(nets[measure][0], data.validation)
        best = max(scores, key=lambda name: scores[name])
        return {"measure": best, "validation": scores}, *nets[best]

    def _reach(self, model: nn.Module, cuts: list[Cut]) -> tuple[nn.Module, float]:
        """The cut whose measured speed-up is nearest to what is wanted, by bisection: each takes more than the last."""
        wanted = float(self.options.speedup)
        known: dict[int, tuple[nn.Module, float]] = {}

        def at(index: int) -> tuple[nn.Module, float]:
            if index not in known:
                net = cuts[index]()
                known[index] = net, self._speedup(model, net)
            return known[index]

        low, high = 0, len(cuts) - 1
        while low < high:
            middle = (low + high) // 2
            if at(middle)[1] < wanted:
                low = middle + 1
            else:
                high = middle
        at(low)
        return min(known.values(), key=lambda pair: abs(pair[1] - wanted))

    def _speedup(self, model: nn.Module, net: nn.Module) -> float:
        if model is net:
            return 1.0
        nets = {"old": model, "new": net}
        found = measure_latency(
            nets, SHAPE, passes=Passes(repeats=self._repeats, warmup=2, tries=2), batch_size=self.options.batch
        )
        return _ratio(found.median_ms)

    def report(self) -> None:
        """Write benchmarks/results/two_times.json and the section of docs/results.md."""
        rows = [row for row in self.found.all() if row["setting"] == self.label(row["net"])]
        result = {
            "benchmark": "two_times",
            "machine": machine(),
            "settings": [self.label(net) for net in NETS],
            "findings": rows,
        }
        write_result("two_times", result)
        if rows:
            write_section("two_times", self._page(rows))

    def _page(self, rows: list[dict[str, Any]]) -> str:
        known, options = machine(), self.options
        said = (
            f"{self.settings[rows[0]['net']].images} Baselines are trained for {options.epochs} epochs. "
            f"Fine-tuning: {options.fine_tune} epochs at {FINE_TUNING_RATE:g}. Speed-ups are "
            f"measured at batch {options.batch}, eager, {known['threads']} thread, {known['processor']}, "
            f"{known['date']}; {options.speedup:g} times was wanted. Mean ± standard deviation over the "
            f"seeds. A speed-up that misses what was wanted by more than {TOLERANCE:.0%} is "
            "marked with *: its accuracy is not to be compared. Joins, and what is called reconstructed, are fitted on "
            "training images before any fine-tuning; the other contenders see images in fine-tuning alone (Taylor also "
            "for its scores)."
        )
        if options.quick:
            said = f"**A quick run: the figures show that the script works, no more.** {said}"
        return "\n\n".join([said, *(self._table(net, rows) for net in dict.fromkeys(row["net"] for row in rows))])

    def _table(self, net: str, rows: list[dict[str, Any]]) -> str:
        mine = [row for row in rows if row["net"] == net]
        whole = statistics.mean({row["seed"]: row["baseline"] for row in mine if "baseline" in row}.values() or [0.0])
        header = (
            "contender",
            "accuracy",
            "before fine-tuning",
            "speed-up",
            "at batch 1",
            "parameters",
            "MACs",
            "notes",
        )
        lines = [self._line(name, [row for row in mine if row["contender"] == name]) for name in CONTENDERS]
        seeds = len({row["seed"] for row in mine})
        counted = f"{seeds} seed{'s' if seeds > 1 else ''}"
        title = f"### {net} of width {self.settings[net].width:g}, {counted}: {whole:.1%} before"
        return f"{title}\n\n{markdown(header, [line for line in lines if line])}"

    def _line(self, name: str, rows: list[dict[str, Any]]) -> list[str]:
        if not rows:
            return []
        done = [row for row in rows if "accuracy" in row]
        notes = sorted({row["measure"] for row in rows if "measure" in row} | {row.get("failure", "") for row in rows})
        if not done:
            return [name, *["-"] * 6, "; ".join(filter(None, notes))]
        speed = statistics.mean(row["speedup"] for row in done)
        missed = name != "unpruned" and abs(speed / self.options.speedup - 1) > TOLERANCE
        return [
            name,
            _spread((100 * row["accuracy"] for row in done), "%"),
            _spread((100 * row["untrained"] for row in done), "%"),
            f"{speed:.2f}{'*' if missed else ''}",
            *(f"{statistics.mean(row[key] for row in done):.2f}" for key in ("speedup_batch_1", "parameters", "macs")),
            "; ".join(filter(None, notes)),
        ]


def _ratio(milliseconds: dict[str, float]) -> float:
    return milliseconds["old"] / milliseconds["new"]


def _spread(values: Iterable[float], unit: str) -> str:
    found = list(values)
    return f"{statistics.mean(found):.1f}{unit}" + (f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else "")


def _parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _macs(net: nn.Module) -> int:
    return sum(layer.macs for layer in follow(net, SHAPE).layers)


if __name__ == "__main__":
    main()
