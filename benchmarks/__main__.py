"""``python -m benchmarks`` runs the layer suite, as ``python benchmarks/layers.py`` does."""

import runpy
import sys
from pathlib import Path

here = Path(__file__).parent
sys.path.insert(0, str(here))
runpy.run_path(str(here / "layers.py"), run_name="__main__")
