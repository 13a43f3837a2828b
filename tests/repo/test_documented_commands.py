"""Every command line of ours that a page shows can be given: the command is there, and so are its options."""

import re
import shlex
from pathlib import Path

import click
import pytest
from facesr_edge.sdk.cli.main import COMMANDS, Commands

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def command_lines(text):
    """What stands after "facesr-edge" in blocks of code, in `code`, and in a unit's ExecStart; up to a | or &&."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`(facesr-edge [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in [*"\n".join(blocks).replace("\\\n", " ").splitlines(), *inline]:
        found = re.search(r"(?:^|=|&& |/bin/|\s)facesr-edge (\w+.*)", line)
        if found and not line.lstrip().startswith(("pip", "#")):
            yield re.split(r"\s[|#]\s| && |  +# ", found.group(1))[0]


def shown():
    return [(page.name, line) for page in PAGES for line in command_lines(page.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "line"), shown())
def test_a_command_that_a_page_shows_can_be_given(page, line):
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


def test_the_lines_are_found_at_all():
    lines = [line for page, line in shown() if page == "jetson.md"]
    assert len(lines) >= 10 and any("--timing-cache" in line for line in lines)
    assert any(line.startswith("run rtsp://") and "faces.json" in line for line in lines)
    assert list(command_lines("```\nsudo a && facesr-edge nosuch --wrong\n```")) == ["nosuch --wrong"]


def test_every_link_of_a_page_within_the_repository_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
