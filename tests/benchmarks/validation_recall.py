"""A blind test of ``awac-tr data validate``: recall by code and format, and alarms on clean data.

Minutes, and not collected by pytest::

    OMP_NUM_THREADS=1 python tests/benchmarks/validation_recall.py --n 30 --seed 1 --out docs/validation-recall.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from validation.run import measure, save, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=30, help="injections a code at least")
    parser.add_argument("--seed", type=int, default=0, help="of plays, places and sizes")
    parser.add_argument("--clean", type=int, default=60, help="clean datasets a format")
    parser.add_argument("--out", default="", help="JSON file of all trials")
    parser.add_argument("--keep", type=Path, help="folder in which the LeRobot datasets stay, for validation_others.py")
    args = parser.parse_args()
    result = measure(args.seed, args.n, args.clean, keep=args.keep, say=lambda text: print(text, file=sys.stderr))  # noqa: T201
    print(table(result))  # noqa: T201
    if args.out:
        save(result, args.out)


if __name__ == "__main__":
    main()
