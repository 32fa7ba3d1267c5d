"""Where model files are: by path, or by name in PLM_MODEL_DIR and among the bundled ones."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

BUNDLED = Path(__file__).parent.parent / "models"
_SUFFIX = ".safetensors"


class ModelFileError(ValueError):
    """A model file that is missing, cut short, foreign or wrong; the message names file and tensor."""


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a model; ModelFileError, naming those there are, if there is none."""
    given = Path(name_or_path)
    if given.suffix == _SUFFIX or given.name != str(name_or_path):
        return given
    with suppress(OSError):  # a name that is too long
        for folder in _folders():
            if (path := folder / f"{given}{_SUFFIX}").is_file():
                return path
        if given.is_file():
            return given
    names = model_names()
    known = f"there is {', '.join(names)}" if names else "there is none by name here"
    raise ModelFileError(f"no model {str(given)!r}: {known}; or give the path of a file")


def model_names(folder: Path | None = None) -> list[str]:
    """What `Model.load` knows by name: in `folder` too, if it is given."""
    folders = [*_folders(), *([folder] if folder else [])]
    return sorted({path.stem for place in folders for path in place.glob(f"*{_SUFFIX}")})


def _folders() -> list[Path]:
    own = os.environ.get("PLM_MODEL_DIR")
    return ([Path(own)] if own else []) + [BUNDLED]
