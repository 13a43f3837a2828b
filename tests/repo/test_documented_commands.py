"""Every facesr-edge command line in README and docs/ parses: the command and its options exist."""

import re
import shlex
from pathlib import Path

import click
import pytest
from facesr_edge.sdk.cli.main import COMMANDS, Commands

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def command_lines(text):
    """Arguments of facesr-edge in code blocks, inline code and ExecStart lines, up to a | or &&."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`(facesr-edge [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in [*"\n".join(blocks).replace("\\\n", " ").splitlines(), *inline]:
        match = re.search(r"(?:^|=|&& |/bin/|\s)facesr-edge (\w+.*)", line)
        if match and not line.lstrip().startswith(("pip", "#")):
            yield re.split(r"\s[|#]\s| && |  +# ", match.group(1))[0]


def documented():
    return [(page.name, line) for page in PAGES for line in command_lines(page.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "line"), documented())
def test_a_documented_command_and_its_options_exist(page, line):
    name, *words = shlex.split(line)
    assert name in COMMANDS, f"{page}: facesr-edge {line}"
    command = Commands().get_command(click.Context(click.Group()), name)
    while isinstance(command, click.Group) and words:
        name = words.pop(0)
        assert name in command.commands, f"{page}: facesr-edge {line}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known | {"--help"}, f"{page}: facesr-edge {line}"


def test_command_lines_are_found():
    lines = [line for page, line in documented() if page == "jetson.md"]
    assert len(lines) >= 10 and any("--timing-cache" in line for line in lines)
    assert any(line.startswith("run rtsp://") and "faces.json" in line for line in lines)
    assert list(command_lines("```\nsudo a && facesr-edge nosuch --wrong\n```")) == ["nosuch --wrong"]


def test_every_relative_link_has_a_target():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_a_bundle_that_is_prepared_names_its_engine():
    """Without one the graph is that for CPUs, and the builder of TensorRT for RTX does not check it."""
    scripts = [(path.name, line) for path in (ROOT / "samples").glob("*.sh") for line in path.read_text().splitlines()]
    lines = [line for _, line in (*documented(), *scripts) if "--no-compile" in line]
    assert len(lines) >= 4 and all("--engine tensorrt" in line for line in lines)
