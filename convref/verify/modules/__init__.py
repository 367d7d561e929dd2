"""Live modules of frameworks: run where they live, judged by their own settings.

One file a framework. Each has ``VERSION``, ``SUPPORTED`` and ``convolutions(module, inputs)``,
which gives what it finds in the order in which it is run.
"""

import sys
from importlib import import_module
from typing import Any, Unpack

from numpy.typing import DTypeLike

from convref.errors import WordError, shown, verb
from convref.integers import integer
from convref.spec import Words
from convref.verify.modules.live import Settings, Unjudged, examined
from convref.verify.modules.result import ModuleResult
from convref.verify.summary import Judged

__all__ = ["ModuleResult", "verify_module"]

BASES = {
    # Keras first: on PyTorch, its layers are modules of both.
    ("keras", "Layer"): "keras",
    ("torch", "Module"): "torch",
    ("flax", "Module"): "flax",
}
"""By the package and the name of a base class: the framework of a module."""


@verb
def verify_module(
    module: Any,
    *inputs: Any,
    params: Any = None,
    kind: str | None = None,
    gradients: bool = True,
    accumulate: DTypeLike | None = None,
    seed: int = 0,
    **words: Unpack[Words],
) -> ModuleResult:
    """Judge every convolution in a live module: y, dx, dw and db.

    ``inputs`` are what the module is called with. Weights, settings, layout and dtypes are read off
    it; every convolution is run in its framework, on the input that reaches it, forward, and
    backward for random numbers dy that follow from ``seed`` (not with ``gradients=False``). Each
    output is judged as by `verify`; ``accumulate`` is the dtype of the sums, if it is not the usual
    one. The module is run in inference mode, and stays as it is. Give it random numbers: where the
    input is constant, a flipped kernel makes no difference to y. ::

        result = verify_module(torch.nn.Conv2d(3, 8, 3), rng.standard_normal((1, 3, 9, 9)))
        result.ok, result["y"].verdict
        print(result)

    | module                                  | what is judged                                     |
    | --------------------------------------- | -------------------------------------------------- |
    | torch.nn, keras.layers, flax.linen, nnx | convolutions and transposed ones, subclasses too   |
    | a model that contains them              | each of them, by name: ``layer1.0.conv1 / y``      |
    | a function of JAX                       | each ``conv_general_dilated`` that it computes     |
    | such a function of x, w, perhaps a bias | with ``words`` or ``kind``: its result, by these   |

    Of a layer with an activation the linear part is judged. A separable convolution is two. A
    module of flax.linen is bound, or takes its variables as ``params``. A function of x and w has
    them as `conv` does (``kind="transpose"``: as `conv_transpose`).

    Raises WordError for a module that is not supported, or words that go with another kind of
    module; ConvrefError where the module can't be run on the inputs.
    """
    framework = framework_of(module)
    options = options_of(framework, params, kind, words)
    sibling = import_module(f"convref.verify.modules.{framework}")
    settings = Settings(framework, sibling.VERSION, gradients, accumulate, natural("seed", seed))
    judged: list[Judged] = []
    unjudged: list[Unjudged] = []
    for number, found in enumerate(sibling.convolutions(module, inputs, **options)):
        entries = [found] if isinstance(found, Unjudged) else examined(found, number, settings)
        for entry in entries:
            if isinstance(entry, Unjudged):
                unjudged.append(entry)
            else:
                judged.append(entry)
    name = getattr(module, "__name__", type(module).__name__)
    if not judged:
        reasons = "; ".join(f"{one.name or 'it'}: {one.reason}" for one in unjudged)
        raise WordError(
            f"there is nothing to judge in `module` ({name})" + (f": {reasons}" if reasons else ""),
            f"supported are {sibling.SUPPORTED}",
        )
    return ModuleResult(name, f"{framework} {sibling.VERSION}", tuple(judged), tuple(unjudged))


def options_of(framework: str, params: Any, kind: str | None, words: Words) -> dict[str, Any]:
    """What a framework's file takes besides the inputs; raise WordError for what it can't use."""
    if params is not None and framework != "flax":
        raise WordError("`params` are for modules of flax.linen", "leave them out")
    if (words or kind) and framework != "jax":
        name = next(iter(words), "kind")
        raise WordError(f"`{name}` is read off the module", "leave it out")
    if kind not in (None, "forward", "transpose"):
        raise WordError(f"`kind` (={shown(kind)}) is unknown", "use 'forward' or 'transpose'")
    return {"flax": {"params": params}, "jax": {"kind": kind, "words": words}}.get(framework, {})


def natural(name: str, value: object) -> int:
    """An integer that is not negative."""
    number = integer(name, value)
    if number < 0:
        raise WordError(f"`{name}` (={number}) is negative", "use 0 or more")
    return number


def framework_of(module: object) -> str:
    """The framework of a module; functions are JAX's. No framework is imported to tell."""
    bases = [(base.__module__.split(".")[0], base.__name__) for base in type(module).__mro__]
    for base, framework in BASES.items():
        if base in bases:
            return framework
    if callable(module) and not isinstance(module, type) and "jax" in sys.modules:
        return "jax"
    raise WordError(
        f"`module` ({type(module).__name__}) is not of a framework that is known",
        "pass a torch.nn.Module, a layer of Keras 3, a module of flax, or, with jax imported, a "
        "function of JAX; use `verify` for arrays",
    )
