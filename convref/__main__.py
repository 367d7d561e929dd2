"""``python -m convref``, and what the command ``convref`` starts."""

import sys


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        from convref.cli import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"convref: the package {error.name} is not installed; pip install 'convref[cli]'")
    app()


if __name__ == "__main__":
    main()
