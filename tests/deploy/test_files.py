"""Every path, command, port and setting that the files in deploy/ name must exist in the program.

The files are parsed, and each claim is held against what is true: click's commands, the settings' fields,
Flask's routes, the Makefile's targets, what a build reads. `deploy/check_image` builds the image and runs it.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bot.app import create_app
from bot.cli import main as plm
from bot.settings.config import WEBHOOK_VARIABLE, Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
HOME = "/opt/personal-lm"  # where the files expect the checkout
DATA = "/var/lib/personal-lm"
SETTINGS = {f"PLM_{field.upper()}" for field in Settings.model_fields}


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, arguments) with continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def instructions(word: str) -> list[str]:
    return [arguments for name, arguments in dockerfile() if name == word]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return content


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "plm.service")
    return parser


def env_example() -> dict[str, str]:
    """Also the lines that are commented out: they are suggestions to be taken."""
    found = re.findall(r"^#?(PLM_\w+)=(.*)$", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    return dict(found)


def check_plm(arguments: list[str]) -> None:
    """A command line of plm: the subcommand exists and takes these arguments."""
    assert isinstance(plm, click.Group)
    command = plm.get_command(click.Context(plm), arguments[0])
    assert command is not None, f"plm has no command {arguments[0]}"
    command.make_context(arguments[0], list(arguments[1:]))


def copied(target: Path) -> Iterator[str]:
    """Do what the image's first stage copies, but for what .dockerignore names; yields the sources."""
    first = dockerfile()[: [name for name, _ in dockerfile()].index("FROM", 1)]
    ignored = [p for p in (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n") if p and p[0] != "#"]

    def leave_out(folder: str, names: list[str]) -> list[str]:
        inside = {name: (Path(folder) / name).relative_to(ROOT).as_posix() for name in names}
        return [
            name
            for name, path in inside.items()
            if any(path == p or (p.startswith("**/") and fnmatch(name, p[3:])) for p in ignored)
        ]

    for arguments in (rest for name, rest in first if name == "COPY"):
        *sources, destination = arguments.split()
        for source in sources:
            if source == "$WHEEL":  # empty unless somebody names one
                continue
            assert (ROOT / source).exists(), f"COPY {source}"
            assert source not in ignored, f"COPY {source}, which .dockerignore leaves out"
            place = target / destination
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=leave_out)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
            yield source


def test_image_copies_all_that_a_build_needs(tmp_path: Path) -> None:
    assert set(copied(tmp_path)) > {"setup.py", "pyproject.toml", ".ci/constraints.txt"}
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", "lib"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    missing = re.findall(r"File '.*' cannot be found", built.stderr)
    assert missing == []
    for tracked in ("bot/store/lua", "bot/web/templates", "bot/web/static", "engine/models"):
        here = {p.name for p in (ROOT / tracked).iterdir() if p.suffix not in {".md", ".pyc"} and p.is_file()}
        there = {p.name for p in (tmp_path / "lib" / tracked).iterdir()}
        assert here <= there, tracked


def test_image_installs_what_the_project_asks_for_and_compiles_in_the_first_stage_alone() -> None:
    asked = set(re.findall(r"apt-get install ([\w+-]+)", (ROOT / "Makefile").read_text()))
    assert asked == {"python3-venv", "python3-dev", "g++"}
    first, *_, last = [line for line in instructions("RUN") if "apt-get install" in line]
    assert asked | {"python3"} <= set(first.split())
    assert not asked & set(last.split())
    (read,) = [line for line in instructions("RUN") if "tomllib" in line]
    code = re.search(r'-c "(.*?)" > needed', read)
    assert code
    run = subprocess.run(
        [sys.executable, "-c", code[1]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert run.stdout.splitlines() == project["dependencies"]


def test_image_starts_the_program_that_the_build_makes() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (entry,) = (json.loads(line) for line in instructions("ENTRYPOINT"))
    assert entry == ["plm"]
    assert image_environment()["PATH"].split(":")[0] == f"{HOME}/bin"
    assert scripts["plm"] == "bot.cli:main"
    check_plm(json.loads(instructions("CMD")[0]))
    assert instructions("COPY")[-2:] == [f"--from=build {HOME} {HOME}", "--from=root / /"]
    user, group = instructions("USER")[0].split(":")
    (made,) = [line for line in instructions("RUN") if "useradd" in line]
    assert f"useradd --system --uid {user} --gid plm" in made
    assert f"groupadd --system --gid {group} plm" in made


def test_image_listens_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = image_environment()
    del environment["PATH"]
    assert set(environment) <= SETTINGS
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert (settings.host, [str(settings.port)]) == ("0.0.0.0", instructions("EXPOSE"))
    assert [str(settings.data_dir)] == instructions("VOLUME") == [DATA]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_image_is_healthy_when_the_service_is_ready() -> None:
    (check,) = instructions("HEALTHCHECK")
    program, flag, code = json.loads(check.partition("CMD ")[2])
    assert (program, flag) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    port, path = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", code)[0]
    assert port == image_environment()["PLM_PORT"]
    assert path in routes()


def routes() -> set[str]:
    return {
        rule.rule
        for rule in create_app(
            Settings(redis_url="redis://127.0.0.1:6379", engine_url="http://127.0.0.1:8001")
        ).url_map.iter_rules()
    }


WEBS, OURS = ("web-1", "web-2"), ("web-1", "web-2", "worker")


def test_compose_builds_this_image_and_passes_known_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    services = compose()["services"]
    assert set(services) == {*OURS, "store"}
    for name in OURS:
        context = (DEPLOY / services[name]["build"]["context"]).resolve()
        assert context == ROOT
        assert (context / services[name]["build"]["dockerfile"]).is_file()
        check_plm(services[name]["command"])
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
    environment = services["web-1"]["environment"]
    assert environment == services["web-2"]["environment"] == services["worker"]["environment"]
    assert set(environment) <= SETTINGS | {"FORWARDED_ALLOW_IPS"}
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    # Every address is believed to be the proxy, so no other may reach the ports.
    ports = [port for name in WEBS for port in services[name]["ports"]]
    assert ports == [f"127.0.0.1:{settings.port + n}:{settings.port}" for n in range(2)]
    assert "ports" not in services["worker"]
    assert str(settings.data_dir) in [
        volume.split()[0].split(":")[1] for volume in services["web-1"]["volumes"]
    ]
    assert settings.host == "0.0.0.0"


def test_compose_services_fit_together() -> None:
    content = compose()
    services = content["services"]
    for name in OURS:
        url = services[name]["environment"]["PLM_REDIS_URL"]
        store, port = re.findall(r"^redis://(\w+):(\d+)/\d+$", url)[0]
        assert store in services
        assert port == "6379"
        assert services[name]["depends_on"] == {store: {"condition": "service_healthy"}}
        examples = [file["path"].replace(".env", "env.example") for file in services[name]["env_file"]]
        assert all((DEPLOY / example).is_file() for example in examples)
    assert "healthcheck" in services[store]
    command = services[store]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    named = {volume.split(":")[0] for service in services.values() for volume in service["volumes"]}
    assert named == set(content["volumes"])


def test_the_store_of_compose_takes_its_options(tmp_path: Path) -> None:
    """The same command line on the server that comes along, so that a mistyped option cannot hide."""
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    if server is None:
        embedded = pytest.importorskip("bot.server.embedded_store", reason="no Redis server here")
        server = next(iter(embedded.find_servers().values()))
    options = compose()["services"]["store"]["command"][1:]
    socket = tmp_path / "s"
    run = subprocess.Popen(
        [server, *options, "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert run.stdout is not None
        lines = []
        for line in run.stdout:
            lines.append(line)
            if "eady to accept connections" in line:
                break
        assert "eady to accept connections" in lines[-1], "".join(lines)
    finally:
        run.kill()
        run.communicate()


def test_service_unit_starts_what_make_build_made() -> None:
    service = unit()["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == f"{HOME}/.venv/bin/plm"
    check_plm(arguments)
    assert service["WorkingDirectory"] == HOME
    environment = dict(pair.split("=", 1) for pair in shlex.split(service["Environment"]))
    assert environment.pop("PLM_DATA_DIR") == DATA == f"/var/lib/{service['StateDirectory']}"
    assert environment.pop("PYTHONPYCACHEPREFIX") == f"/var/cache/{service['CacheDirectory']}"
    assert environment == {}
    assert service["KillSignal"] == "SIGTERM"
    assert service["Restart"] == "always"


def test_service_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    copy = tmp_path / "plm.service"
    text = (DEPLOY / "plm.service").read_text()
    copy.write_text(
        re.sub(rf"^ExecStart={HOME}/.venv/bin/plm", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    )
    run = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert [line for line in run.stderr.splitlines() if "plm.service" in line] == []


def test_example_settings_exist_and_load(monkeypatch: pytest.MonkeyPatch) -> None:
    example = env_example()
    assert {"PLM_WECHAT_TOKEN", "PLM_WECHAT_AES_KEY", "PLM_REDIS_URL", "PLM_MODEL"} <= set(example)
    assert {v for v in example if v not in SETTINGS and not WEBHOOK_VARIABLE.fullmatch(v)} == set()
    for variable, value in example.items():
        monkeypatch.setenv(variable, value)
    load_settings()


def test_every_setting_named_anywhere_here_exists() -> None:
    known = SETTINGS | {"PLM_CUDA", "PLM_OPS", "PLM_QUEUE_URL", "PLM_TARGET"}
    for path in (one for one in DEPLOY.rglob("*") if one.is_file()):
        named = set(re.findall(r"\bPLM_[A-Z0-9_]+[A-Z0-9]\b(?![|_])", path.read_text()))
        assert {v for v in named if v not in known and not WEBHOOK_VARIABLE.fullmatch(v)} == set(), path.name


def test_commands_and_files_in_the_readme_exist() -> None:
    text = (DEPLOY / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`|```.*?```", text, re.S))))
        <= targets
    )
    for path in re.findall(
        r"(?<!kubectl port-forward )(?<!kubectl scale )(?<!tests/)\bdeploy/[\w./]*\w", text
    ):
        assert path == "deploy/.env" or (ROOT / path).exists(), path
    for file in DEPLOY.iterdir():
        if file.name not in {"README.md", ".env"} and not file.name.endswith(".dockerignore"):
            assert f"`{file.name}`" in text, f"{file.name} is not in the table"
