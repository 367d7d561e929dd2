"""How fast convref is on layers of published networks, beside other engines.

| command                                    | does                                                |
| ------------------------------------------ | --------------------------------------------------- |
| ``python -m benchmarks``                   | checks and times the layers; ``--help`` has options |
| ``python -m benchmarks.report RUN.json``   | prints the tables of a run that ``--json`` has kept |
| ``python -m benchmarks.markdown RUN.json`` | prints the tables of the README                     |
| ``python -m benchmarks.plot RUN.json PNG`` | draws the picture of the README                     |
| ``python -m benchmarks.small``             | times small calls, the import and first calls       |

All from the root of a clone; requirements.txt pins the peers.
"""
