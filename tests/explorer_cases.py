"""Settings drawn for the explorer, as the page's words: many at a time, for a browser."""

from random import Random
from typing import Any

from convref import ConvrefError
from convref.explain import Setting, setting

Words = dict[str, Any]
DIALECTS = ("convref", "torch", "keras", "jax", "brainpy", "babilim", "onnx")


def drawn(seed: int, count: int) -> list[Words]:
    """Words that are right as a rule; one in twenty has a number that may be refused."""
    random = Random(seed)
    found = [words(random) for _ in range(count)]
    for one in found:
        if random.random() < 0.05:
            spoil(random, one)
    return found


def words(random: Random) -> Words:
    rank, transposed = random.choice((1, 2, 2)), random.random() < 0.4
    longest = 9 if rank == 1 else 6

    def entries(least: int, most: int) -> list[int]:
        alike = random.random() < 0.5
        first = random.randint(least, most)
        return [first if alike else random.randint(least, most) for _ in range(rank)]

    groups, stride = random.choice((1, 1, 1, 2, 3)), entries(1, 4)
    plain = [1] * rank
    return {
        "transposed": transposed,
        "input_size": entries(1, longest),
        "kernel_size": entries(1, 4 if rank == 1 else 3),
        "stride": stride,
        "dilation": entries(1, 3) if random.random() < 0.5 else plain,
        "input_dilation": plain if transposed or random.random() < 0.7 else entries(1, 3),
        "padding": padding(random, rank),
        "padding_mode": mode(random, transposed),
        "in_channels": groups * random.randint(1, 2),
        "out_channels": groups * random.randint(1, 2),
        "groups": groups,
        "output_padding": [
            random.randint(0, step - 1) if transposed and random.random() < 0.5 else 0
            for step in stride
        ],
    }


def padding(random: Random, rank: int) -> Any:
    """A word, the same amount on both sides, or any pairs, which may crop."""
    kind = random.choice(("word", "word", "alike", "pairs", "crop"))
    if kind == "word":
        return random.choice(("valid", "same", "same_lower", "causal"))
    if kind == "alike":
        return [[amount, amount] for amount in (random.randint(0, 3) for _ in range(rank))]
    least = 0 if kind == "pairs" else -2
    return [[random.randint(least, 4), random.randint(least, 4)] for _ in range(rank)]


def mode(random: Random, transposed: bool) -> str:
    plain = transposed or random.random() < 0.6
    return "zeros" if plain else random.choice(("reflect", "replicate", "circular"))


def spoil(random: Random, words: Words) -> None:
    """Put in a number that may be out of range, or does not fit the others."""
    word = random.choice([*words])
    if word in ("in_channels", "out_channels", "groups"):
        words[word] = random.randint(-1, 5)
    elif word == "padding_mode":
        words[word] = "reflect"
    elif word not in ("padding", "transposed"):
        words[word] = [random.randint(-1, 5) for _ in words[word]]


def made(words: Words) -> Setting | str:
    """The setting, or the text that refuses it."""
    try:
        return setting(**{name: as_tuple(word) for name, word in words.items()})
    except ConvrefError as error:
        return str(error).removeprefix("setting: ")


def as_tuple(value: Any) -> Any:
    """Lists of JSON as tuples, which messages show as they are given."""
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value
