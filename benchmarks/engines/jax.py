"""JAX on the CPU: compiled functions, the gradients as it derives them.

XLA has no option for its number of threads; it starts one for every CPU that the process may use
when JAX is imported, so the process is confined to that many CPUs first (where the system can).
"""

import os
from collections.abc import Callable

if hasattr(os, "sched_setaffinity"):
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[: int(os.environ.get("OMP_NUM_THREADS", len(allowed)))])

import jax
import numpy as np
from jax.lax import conv_general_dilated

from benchmarks.operands import Arrays
from benchmarks.suite import Layer

VERSION = f"jax {jax.__version__}"


def prepare(layer: Layer, operator: str, threads: int, arrays: Arrays) -> Callable[[], jax.Array]:
    """A call of the compiled operator that waits for its result."""
    jax.config.update("jax_enable_x64", arrays["x"].dtype == np.float64)
    x, w, dy = (jax.numpy.asarray(arrays[name]) for name in ("x", "w", "dy"))
    if layer.transposed:  # the operators of the convolution it transposes, x and dy exchanged
        x, dy = dy, x
        operator = {"forward": "input_grad", "input_grad": "forward"}.get(operator, operator)

    def forward(x: jax.Array, w: jax.Array) -> jax.Array:
        return conv_general_dilated(
            x,
            w,
            layer.stride,
            [(size, size) for size in layer.padding],
            rhs_dilation=layer.dilation,
            feature_group_count=layer.groups,
        )

    def input_grad(dy: jax.Array, w: jax.Array) -> jax.Array:
        return jax.linear_transpose(lambda x: forward(x, w), x)(dy)[0]

    def weight_grad(dy: jax.Array, x: jax.Array) -> jax.Array:
        return jax.linear_transpose(lambda w: forward(x, w), w)(dy)[0]

    function, operands = {
        "forward": (forward, (x, w)),
        "input_grad": (input_grad, (dy, w)),
        "weight_grad": (weight_grad, (dy, x)),
    }[operator]
    compiled = jax.jit(function)
    return lambda: compiled(*operands).block_until_ready()
