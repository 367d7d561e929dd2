"""Compare two files of the corpus: ``python compare.py SHIPPED.npz REBUILT.npz``.

The exit status is 1 where names differ, or what is said of a case, or an input, or the shape of an
output. Outputs whose bits differ are only counted.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

INPUTS = ("x", "w", "bias", "dy")
OUTPUTS = ("y", "dx", "dw", "db")


def main() -> int:
    """Compare the two files named on the command line and print what differs."""
    with np.load(sys.argv[1]) as shipped, np.load(sys.argv[2]) as rebuilt:
        faults = compare_cases(read_cases(shipped), read_cases(rebuilt))
        notes: list[str] = []
        for key in sorted(set(shipped.files) & set(rebuilt.files) - {"cases"}):
            difference = compare_bits(shipped[key], rebuilt[key])
            if difference is not None:
                is_note = key.rpartition("/")[2] in OUTPUTS and "elements" in difference
                (notes if is_note else faults).append(f"{key}: {difference}")
        faults += [f"{key}: in one file only" for key in set(shipped.files) ^ set(rebuilt.files)]
        outputs = sum(key.rpartition("/")[2] in OUTPUTS for key in shipped.files)
    for line in [*notes, *sorted(f"FAULT {fault}" for fault in faults)]:
        print(line)
    print(f"{sys.argv[1]}: {len(faults)} faults; bits differ in {len(notes)} of {outputs} outputs")
    return 1 if faults else 0


def read_cases(file: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return the file's cases by name."""
    return {case["name"]: case for case in json.loads(str(file["cases"]))}


def compare_cases(shipped: dict[str, Any], rebuilt: dict[str, Any]) -> list[str]:
    """List the fields of common cases that differ."""
    return [
        f"{name}: {field} is {rebuilt[name].get(field)!r}, was {value!r}"
        for name in shipped.keys() & rebuilt.keys()
        for field, value in shipped[name].items()
        if rebuilt[name].get(field) != value
    ]


def compare_bits(shipped: np.ndarray, rebuilt: np.ndarray) -> str | None:
    """Say how two arrays differ, or None where they have the same bits."""
    if (shipped.shape, shipped.dtype) != (rebuilt.shape, rebuilt.dtype):
        return f"{rebuilt.dtype} {rebuilt.shape}, was {shipped.dtype} {shipped.shape}"
    bits = np.dtype(f"u{shipped.itemsize}")
    count = np.count_nonzero(shipped.view(bits) != rebuilt.view(bits))
    return f"{count} of {shipped.size} elements differ" if count else None


if __name__ == "__main__":
    sys.exit(main())
