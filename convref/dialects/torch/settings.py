"""What PyTorch's layers begin with: how first weights are drawn, their dtype, their device."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from convref.dialects.torch.arguments import whole
from convref.dialects.torch.refusals import RuntimeWordError, at_run_time
from convref.errors import shown
from convref.initialisers import VarianceScaling
from convref.integers import flag
from convref.weighted import inexact

UNIFORM = VarianceScaling(1 / 3, "fan_in", "uniform")
"""Within 1 / sqrt(fan_in): what kaiming_uniform with a = sqrt(5) is, for weights and bias."""
GENERATOR = np.random.default_rng()
"""What first weights are drawn from."""


def manual_seed(seed: int) -> np.random.Generator:
    """Have first weights be drawn anew from here on; equal seeds give equal weights.

    They are NumPy's numbers: of the same distribution as PyTorch's, and not the same bits.

    >>> import numpy as np
    >>> from convref.dialects.torch import Conv1d
    >>> _ = manual_seed(0)
    >>> first = Conv1d(2, 3, 5)
    >>> _ = manual_seed(0)
    >>> bool(np.all(np.asarray(first.weight) == np.asarray(Conv1d(2, 3, 5).weight)))
    True
    """
    fresh = np.random.default_rng(whole("seed", seed) % 2**64)
    GENERATOR.bit_generator.state = fresh.bit_generator.state
    return GENERATOR


def settings(bias: bool, device: object, dtype: DTypeLike | None) -> dict[str, Any]:
    """PyTorch's settings of a layer, as convref's."""
    if device is not None and shown(device, str).split(":")[0] != "cpu":
        raise RuntimeWordError(f"`device` (={shown(device)}) is not there", "use 'cpu'")
    name = shown(dtype, str)  # that of torch.float64 is its own name
    with at_run_time():
        chosen_bias = bias is not None and flag("bias", bias)
        chosen = inexact(
            name.removeprefix("torch.")
            if name.startswith("torch.")
            else "float32"
            if dtype is None
            else dtype
        )
    return {
        "bias": chosen_bias,
        "dtype": chosen,
        "weight_initialiser": UNIFORM,
        "bias_initialiser": UNIFORM,
        "rng": GENERATOR,
    }
