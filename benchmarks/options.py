"""The command line of ``python -m benchmarks``, and what the other commands share of it."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.engines import ENGINES
from benchmarks.operands import LAYOUTS
from benchmarks.results import Results
from benchmarks.suite import OPERATORS, select

JUDGED = ("numba", "numpy")
"""The engines that are convref's own; as a peer either may stand beside the other."""

PICTURES = (".png", ".svg")


def parse(about: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; what can't be meant ends the program with a message."""
    summary, example, *_ = about.split("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{summary} For example: {example.strip('`')}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--engine", choices=JUDGED, default="numba", help="the back end that is judged")
    add(
        "--peers",
        type=names(ENGINES, empty=True),
        default="numpy,torch,onnxruntime",
        help=f'what it is compared with, of {", ".join(ENGINES)}; "" for nothing',
    )
    add(
        "--operators",
        "--operator",
        type=names(OPERATORS),
        default=",".join(OPERATORS),
        help="as in forward,weight_grad",
    )
    add("--threads", type=numbers, default="1", help="as in 1,2")
    add("--dtype", choices=("float32", "float64"), default="float32", help="of the operands")
    add("--layout", choices=LAYOUTS, default="channels_first", help="of the operands in memory")
    add("--layers", default="", metavar="PATTERNS", help='parts of "model name", as in vgg,u-net')
    add("--min-mflop", type=float, default=0, help="leave out smaller layers")
    add("--rounds", type=positive, default=5, help="how often the engines take turns")
    add("--patience", type=float, default=0, help="seconds to wait for quiet before each round")
    add("--json", type=output, metavar="FILE", help="write everything that was measured")
    add("--markdown", type=output, metavar="FILE", help="write the tables of the README")
    add("--plot", type=picture, metavar="FILE", help="draw the ratios, as .png or .svg")
    options = parser.parse_args(arguments)
    options.peers = [peer for peer in options.peers if peer != options.engine]
    if not select(options.layers, options.min_mflop):
        parser.error(f"no layer matches --layers {options.layers!r} and --min-mflop")
    if options.plot:
        if not options.peers:
            parser.error("--plot draws ratios to peers, and --peers has none")
        import benchmarks.plot  # noqa: F401  a missing matplotlib is to be known before, not after
    return options


def names(known: Sequence[str], empty: bool = False) -> Callable[[str], list[str]]:
    """A parser of comma-separated names out of those known."""

    def parser(text: str) -> list[str]:
        if empty and not text:
            return []
        chosen = list(dict.fromkeys(text.split(",")))
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(known)}")
        return chosen

    return parser


def numbers(text: str) -> list[int]:
    """Comma-separated numbers of threads."""
    return list(dict.fromkeys(map(positive, text.split(","))))


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return int(text)


def output(text: str) -> Path:
    """A file that can be written, as far as its folder is there."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent} to write {text} to")
    return path


def picture(text: str) -> Path:
    """The same for a picture, whose format is in its name."""
    path = output(text)
    if path.suffix not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text} should end in {' or '.join(PICTURES)}")
    return path


def run_file(text: str) -> Results:
    """The results in the file of that name."""
    try:
        return Results.load(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"can't read {text}: {error}") from error
