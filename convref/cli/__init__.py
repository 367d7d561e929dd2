"""The command line (extra `cli`): thin, every answer comes from the package.

One file has one command. What a single option or command needs is imported there, so that the
others start sooner.
"""

import typer

from convref.cli.explain import explain
from convref.cli.info import info, warm_up
from convref.cli.translate import translate
from convref.cli.verify import verify

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A reference convolution engine: judge the outputs of frameworks, explain a convolution.",
)
app.command("verify")(verify)
app.command("explain")(explain)
app.command("info")(info)
app.command("translate")(translate)
app.command("warmup")(warm_up)
