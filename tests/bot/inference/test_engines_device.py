"""PLM_DEVICE as the service takes it: what is wrong with it stops the start with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.inference.local import LocalEngine
from bot.settings.config import ConfigError, Settings
from engine.model import device
from tests.tiny_model import write_tiny_model


def test_a_device_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_device(wanted: str | None = None) -> None:
        if wanted == "cuda":
            raise device.DeviceError("PLM_DEVICE: cuda cannot be used: no NVIDIA driver answers")

    monkeypatch.setattr(device, "cuda_back_end", no_device)
    model = str(write_tiny_model(tmp_path / "tiny.safetensors"))
    with pytest.raises(ConfigError, match=r"^PLM_DEVICE: cuda cannot be used: no NVIDIA driver answers$"):
        LocalEngine.from_settings(Settings(model=model, device="cuda"))
    assert LocalEngine.from_settings(Settings(model=model, device="auto"))
