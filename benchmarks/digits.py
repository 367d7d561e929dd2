"""A training step of convref.examples.digits, beside the same net written in PyTorch.

``python -m benchmarks.digits [--threads 2] [--rounds 5] [--steps 100]``

Both start from the same weights and see the same batches, each in a process of its own, in turn.
Reported are the losses of both, which differ by rounding that grows from step to step, and the
median time of a step: forward, loss, backward and AdamW.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import environment
from benchmarks.text import table

Array = np.ndarray[Any, Any]
Step = Callable[[Array, Array], float]

LEARNING_RATE = 1e-3
WARM_STEPS = 10
SHOWN = (1, 2, 10, 50, 100)


def convref_step(initial: dict[str, Array]) -> Step:
    """A step of the example's own net, from these weights on."""
    from convref.examples.digits import residual_net
    from convref.losses import softmax_cross_entropy
    from convref.optimisers import AdamW

    net = residual_net(np.random.default_rng(0))
    for name, parameter in net.parameters().items():
        parameter.value[...] = initial[name]
    optimiser = AdamW(net, LEARNING_RATE)

    def step(images: Array, labels: Array) -> float:
        loss, dscores = softmax_cross_entropy(net(images), labels)
        net.backward(dscores)
        optimiser.step()
        return loss

    return step


def torch_step(initial: dict[str, Array]) -> Step:
    """A step of the same net in PyTorch."""
    import torch
    from torch import nn

    from convref.examples.digits import WIDTH

    class Residual(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x) + x

    class Separable(nn.Module):
        def __init__(self, stride: int = 1) -> None:
            super().__init__()
            words = {"padding": 1, "stride": stride, "groups": WIDTH, "bias": False}
            self.depthwise = nn.Conv2d(WIDTH, WIDTH, 3, **words)
            self.pointwise = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pointwise(self.depthwise(x))

    def normed(layer: nn.Module) -> list[nn.Module]:
        return [layer, nn.BatchNorm2d(WIDTH)]

    def block() -> nn.Module:
        body = [*normed(Separable()), nn.ReLU(), *normed(Separable())]
        return Residual(nn.Sequential(*body))

    net = nn.Sequential(
        *normed(nn.Conv2d(1, WIDTH, 3, padding=1, bias=False)), nn.ReLU(), block(), nn.ReLU(),
        *normed(Separable(stride=2)), nn.ReLU(), block(), nn.ReLU(),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(WIDTH, 10),
    )  # fmt: skip
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            ours = name.replace(".depthwise.weight", ".depthwise")
            ours = ours.replace(".pointwise.weight", ".weight")
            parameter.copy_(torch.from_numpy(initial[ours]))
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE)
    lossed = nn.CrossEntropyLoss()

    def step(images: Array, labels: Array) -> float:
        optimiser.zero_grad()
        loss = lossed(net(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()
        optimiser.step()
        return float(loss)

    return step


ENGINES = {"convref": convref_step, "torch": torch_step}


def run(engine: str, folder: Path) -> dict[str, Any]:
    """Losses and seconds of all steps; the process is to end afterwards."""
    batches, initial = np.load(folder / "batches.npz"), dict(np.load(folder / "initial.npz"))
    step = ENGINES[engine](initial)
    losses, seconds = [], []
    for images, labels in zip(batches["images"], batches["labels"], strict=True):
        start = time.perf_counter()
        losses.append(step(images, labels))
        seconds.append(time.perf_counter() - start)
    return {"losses": losses, "seconds": statistics.median(seconds[WARM_STEPS:])}


def write_problem(folder: Path, steps: int) -> None:
    """The weights that both engines begin with, and the batches that both see."""
    from convref.examples.digits import BATCH, load, residual_net

    training, _ = load()
    rng = np.random.default_rng(0)
    net = residual_net(rng)
    chosen = rng.integers(0, len(training.labels), (steps, BATCH))
    np.savez(folder / "batches.npz", images=training.images[chosen], labels=training.labels[chosen])
    initial = {name: parameter.value for name, parameter in net.parameters().items()}
    np.savez(folder / "initial.npz", **initial)  # type: ignore[arg-type]


def asked(engine: str, folder: Path, threads: int) -> dict[str, Any]:
    """What `run` returns, in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.digits", "--engine", engine, "--folder", str(folder)],
        capture_output=True,
        text=True,
        env=environment(threads),
    )
    if finished.returncode:
        sys.exit(finished.stderr)
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Run both in turn, and print losses and times."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="for each engine (2)")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes for each (5)")
    parser.add_argument("--steps", type=int, default=200, help="training steps of a process (200)")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(run(options.engine, options.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_problem(folder, max(options.steps, 2 * WARM_STEPS))
        rounds = [
            {engine: asked(engine, folder, options.threads) for engine in ENGINES}
            for _ in range(options.rounds)
        ]
    print(losses_table(rounds[0]))
    print()
    print(times_table(rounds))


def losses_table(answers: dict[str, dict[str, Any]]) -> str:
    """The losses of some steps, side by side."""
    ours, theirs = (answers[engine]["losses"] for engine in ENGINES)
    steps = [step for step in (*SHOWN, len(ours)) if step <= len(ours)]
    lines = [
        [str(step), *(f"{losses[step - 1]:.6f}" for losses in (ours, theirs))]
        for step in dict.fromkeys(steps)
    ]
    return table(["step", *(f"loss, {engine}" for engine in ENGINES)], lines)


def times_table(rounds: list[dict[str, dict[str, Any]]]) -> str:
    """Milliseconds of a step, of each engine, and the median ratio of a round."""
    lines = []
    for engine in ENGINES:
        times = [1000 * answers[engine]["seconds"] for answers in rounds]
        lines.append([engine, *(f"{f(times):.2f}" for f in (statistics.median, min, max))])
    ratios = [answers["torch"]["seconds"] / answers["convref"]["seconds"] for answers in rounds]
    text = table(["engine", "ms a step", "fastest", "slowest"], lines)
    return f"{text}\n\nconvref is {statistics.median(ratios):.2f} times as fast"


if __name__ == "__main__":
    main()
