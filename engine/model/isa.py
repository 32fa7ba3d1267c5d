"""PLM_ISA for the float32 operators of training and reading."""

from __future__ import annotations

import os

ISA_FOR_TRAINING = {
    "": "",
    "portable": "portable",
    "avx2": "avx2",
    "avxvnni": "avx2",
    "avx512vnni": "",
    "neon": "neon",
    "dotprod": "neon",
    "i8mm": "",
}


def training_isa() -> str:
    """The table of operators that PLM_ISA allows, "" for the best here. ValueError for an unknown name."""
    wanted = os.environ.get("PLM_ISA", "")
    if wanted not in ISA_FOR_TRAINING:
        raise ValueError(f"PLM_ISA: unknown instruction set {wanted!r}")
    return ISA_FOR_TRAINING[wanted]
