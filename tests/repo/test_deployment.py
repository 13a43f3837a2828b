"""Container images and the systemd unit: linters pass, and the commands in them exist."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import click
import pytest
from facesr_edge.sdk.cli.main import Commands

IMAGES = ["docker/Dockerfile", "docker/Dockerfile.jetpack"]
UNIT = "samples/facesr-edge-live.service"
MAX_EXPOSURE = "20"
"""Of the unit, as systemd-analyze rates it, in tenths: 2.0 of 10."""


def tool(name):
    """Path of a program, or a skip."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:/usr/bin:/usr/sbin:/bin")
    return path or pytest.skip(f"needs {name}")


def instructions(text):
    """(instruction, rest) of each instruction of a Dockerfile."""
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def last(text, instruction):
    return [rest for name, rest in instructions(text) if name == instruction][-1]


def check_arguments(arguments):
    """That a command line of facesr-edge names a command and options that exist."""
    name, *words = arguments
    command = Commands().get_command(click.Context(click.Group()), name)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known, arguments


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_passes_the_linter(root, image):
    done = subprocess.run([tool("hadolint"), root / image], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_a_command_that_exists_as_an_ordinary_user(root, image):
    text = (root / image).read_text("utf-8")
    arguments = json.loads(last(text, "CMD"))
    assert json.loads(last(text, "ENTRYPOINT")) == ["facesr-edge"] and int(last(text, "USER")) >= 1000
    check_arguments(arguments)
    names = [name for name, _ in instructions(text)]
    assert "RUN" not in names[names.index("USER") :]


@pytest.mark.parametrize("image", IMAGES)
def test_the_health_check_of_an_image_asks_the_port_that_it_serves(root, image):
    text = (root / image).read_text("utf-8")
    port = json.loads(last(text, "CMD"))[json.loads(last(text, "CMD")).index("--port") + 1]
    (asked,) = re.findall(r"http://127\.0\.0\.1:(\d+)/healthz", last(text, "HEALTHCHECK"))
    assert asked == port == last(text, "EXPOSE")


def test_an_image_is_built_from_the_package_without_the_rest(root, files):
    lines = (root / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#") and not line.startswith("**/")]
    context = [path for path in files if not any(fnmatch(path.parts[0], pattern) for pattern in patterns)]
    kept = {path.parts[0] for path in context}
    packages = {"sdk", "training", "converters", "calibration", "networks", "engines", "zoo", "samples"}
    metadata = {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "py.typed", "__init__.py", "__main__.py"}
    assert kept >= packages | metadata and not kept & {"tests", "docs", "benchmarks", ".git", ".ci", "docker"}


@pytest.mark.parametrize("name", ["secrets.env", "cameras.yaml", "site/hall.env", "run.rec"])
def test_secrets_of_a_user_come_into_no_image_and_no_commit(root, name):
    for file in (".dockerignore", ".gitignore"):
        patterns = [line.removeprefix("**/") for line in (root / file).read_text("utf-8").splitlines()]
        assert any(fnmatch(Path(name).name, pattern) for pattern in patterns if "/" not in pattern), file
        assert any(pattern.lstrip("!/") == "samples/cameras.yaml" for pattern in patterns), file


@pytest.mark.parametrize("image", IMAGES)
def test_no_layer_of_an_image_has_the_folder_that_it_was_built_in(root, image):
    steps = instructions((root / image).read_text("utf-8"))
    last_stage = steps[max(n for n, (name, _) in enumerate(steps) if name == "FROM") :]
    copied = [rest for name, rest in last_stage if name in ("COPY", "ADD")]
    assert copied and all(rest.startswith("--from=build ") for rest in copied)


@pytest.fixture
def unit(root, tmp_path):
    """The unit with a program that is installed here."""
    path = tmp_path / Path(UNIT).name
    path.write_text((root / UNIT).read_text("utf-8").replace("/opt/facesr/bin/facesr-edge", sys.executable), "utf-8")
    return path


def test_the_unit_passes_systemd(unit):
    done = subprocess.run([tool("systemd-analyze"), "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_hardened(unit):
    command = [tool("systemd-analyze"), "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Overall exposure level" in done.stdout, done.stdout[-300:] + done.stderr


def test_the_unit_runs_a_command_that_exists_and_waits_for_it(root):
    text = (root / UNIT).read_text("utf-8")
    settings = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))
    check_arguments(shlex.split(settings["ExecStart"])[1:])
    assert (
        settings["Type"] == "notify"
        and settings["Restart"] == "always"
        and settings["RestartPreventExitStatus"] == "2 3"
    )
    assert float(settings["WatchdogSec"]) >= 10
