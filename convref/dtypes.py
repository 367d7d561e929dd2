"""Dtypes: which arrays can be convolved, and in which dtype their products are summed."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref.errors import DtypeError, shown

SUPPORTED = "float16, bfloat16, float32, float64, complex64, complex128, integers and booleans"
ACCUMULATORS = ("float32", "float64", "complex64", "complex128", "int32", "int64")
SUMMED_IN_THEMSELVES = frozenset(map(np.dtype, ("float32", "float64", "complex64", "complex128")))
SUMMED_IN = dict.fromkeys(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"), "float32")
"""Formats to store numbers in, and what they are computed in; all but float16 are ml_dtypes'."""
WIDE = frozenset({np.dtype(np.longdouble), np.dtype(np.clongdouble)}) - {
    np.dtype(np.float64),
    np.dtype(np.complex128),
}
"""Summed in themselves, by the back ends that are not compiled; what float64 is judged against.

Empty where long double is float64, as on Windows.
"""


def as_array(name: str, value: object) -> NDArray[Any]:
    """The argument as an array, through ``__array__`` or ``__dlpack__``; raise DtypeError."""
    try:
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            array = np.from_dlpack(value)
        else:
            array = np.asarray(value)
    except Exception as error:  # whatever a foreign array type raises
        raise DtypeError(
            f"`{name}` ({type(value).__name__}) can't be read as an array: {error}",
            "pass a NumPy array of numbers",
        ) from error
    if array.dtype.kind not in "biufc" and array.dtype.name not in SUMMED_IN:
        raise DtypeError(
            f"`{name}` has dtype {array.dtype}, which can't be convolved",
            f"use one of {SUPPORTED}",
        )
    return array


def named_dtype(value: object) -> np.dtype[Any] | None:
    """The dtype that a value stands for in NumPy; None where it stands for none."""
    try:
        return np.dtype(value)  # type: ignore[call-overload,no-any-return]
    except Exception:  # NumPy looks into lists, dictionaries and attributes
        return None


def optional_array(name: str, value: object) -> NDArray[Any] | None:
    """As an array, unless it is None."""
    return None if value is None else as_array(name, value)


def divisible(array: NDArray[Any]) -> NDArray[Any]:
    """The array; as float64 where it holds integers, as NumPy's mean takes them."""
    return array.astype(np.float64) if array.dtype.kind in "biu" else array


def promoted(**dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the result, by NumPy's promotion; raise DtypeError where there is none."""
    try:
        return np.result_type(*dtypes.values())
    except TypeError as error:
        named = " and ".join(f"`{name}` ({dtype})" for name, dtype in dtypes.items())
        raise DtypeError(f"{named} have no common dtype", "convert one of them") from error


def accumulator(dtype: np.dtype[Any], accumulate: DTypeLike | None) -> np.dtype[Any]:
    """The dtype that products of ``dtype`` are summed in, unless ``accumulate`` says otherwise."""
    if accumulate is None:
        if dtype in SUMMED_IN_THEMSELVES:
            return dtype
        if dtype.kind in "biu":
            return np.dtype(np.int64)
        return np.dtype(SUMMED_IN.get(dtype.name, dtype)).newbyteorder("=")
    chosen = sums_dtype(accumulate)
    holds = np.can_cast(np.dtype(SUMMED_IN.get(dtype.name, dtype)), chosen, "same_kind")
    if not holds or (chosen.kind == "c") != (dtype.kind == "c"):
        raise DtypeError(
            f"`accumulate` (={chosen}) can't hold products of {dtype}",
            "use a dtype of the same kind",
        )
    return chosen


def sums_dtype(accumulate: DTypeLike) -> np.dtype[Any]:
    """The dtype that a user asks sums to be taken in; raise DtypeError where they can't be."""
    named = named_dtype(accumulate)
    chosen = np.dtype(object) if named is None else named.newbyteorder("=")
    if chosen.name not in ACCUMULATORS:
        raise DtypeError(
            f"`accumulate` (={shown(accumulate)}) is not a dtype that sums can be taken in",
            f"use one of {', '.join(ACCUMULATORS)}",
        )
    return chosen


def wide(array: NDArray[Any]) -> NDArray[Any]:
    """float16, bfloat16 and float8 as float32, to compute with; other arrays as they are."""
    narrow = array.dtype.itemsize <= 2 and array.dtype.kind in "fV"
    if not narrow or array.dtype.name not in SUMMED_IN:  # names are slow to make
        return array
    return array.astype(SUMMED_IN[array.dtype.name])
