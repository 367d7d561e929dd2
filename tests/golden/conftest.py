"""Keep pytest from importing these scripts: each needs a framework that the tests don't."""

collect_ignore_glob = ["*.py"]
