"""Where the files of the repository stand."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "experiments"
MODELS = ROOT / "models"
REFERENCE = ROOT / "data" / "reference"
