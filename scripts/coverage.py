"""What surgery can do to every net that it promises to cut: ``docs/coverage.csv``.

    python scripts/coverage.py [NET ...] [--again] [--minutes 30]

Each net is surveyed in a process of its own and its row written as soon as it is done, so that the work can be
interrupted and taken up again, and done in slices. ``--again`` surveys nets that have a row, the oldest first.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "coverage.csv"
sys.path.insert(0, str(ROOT))

from tests.coverage.nets import EVERY_NET  # noqa: E402 (the checkout is no installed package)
from tests.coverage.record import COLUMNS  # noqa: E402

_HOUR = 3600


def known() -> dict[str, dict[str, Any]]:
    """The rows of the table, by net."""
    if not TABLE.is_file():
        return {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["net"]: row for row in csv.DictReader(file)}


def survey(net: str) -> dict[str, Any]:
    """One net's row, from a new process; a process that dies is a row with the reason."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.coverage.record", net],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1", **os.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=_HOUR,
    )
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    today = datetime.now(UTC).date().isoformat()
    return {
        "net": net,
        "seconds": round(time.perf_counter() - began, 1),
        "surveyed": today,
        "reasons": f"FAILED: {last}",
    }


def write_table(rows: dict[str, dict[str, Any]]) -> None:
    """``docs/coverage.csv``: these rows in the order of the list."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[net] for net in EVERY_NET if net in rows)


def main() -> int:
    """Survey the nets that are asked for; exit 1 where something failed that should work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", choices=[*EVERY_NET, []], metavar="NET", help="default: every net")
    parser.add_argument("--again", action="store_true", help="also nets that have a row")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further net after so long")
    options = parser.parse_args()
    rows = known()
    wanted = [net for net in options.nets or EVERY_NET if options.again or net not in rows]
    wanted.sort(key=lambda net: rows.get(net, {}).get("surveyed") or "")
    began = time.perf_counter()
    for net in wanted:
        if time.perf_counter() - began > 60 * options.minutes:
            break
        rows[net] = survey(net)
        write_table(rows)
        print(f"{net}: {rows[net]['seconds']} s {rows[net]['reasons'][:200]}", flush=True)
    return int(any("FAILED" in row["reasons"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
