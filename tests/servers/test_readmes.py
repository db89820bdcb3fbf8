"""The commands in the examples' READMEs print what the READMEs say."""

import pathlib
import re
import subprocess

import pytest
from gates import PORTS, UUID

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = "\x1e"


def steps(page):
    """The commands of a page, each with what it prints; lines that are set in go on."""
    found = []
    for block in BLOCK.findall(page):
        is_command = False
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], []])
                is_command = True
            elif is_command and line.startswith("    "):
                found[-1][0] += f"\n{line}"
            else:
                is_command = False
                found[-1][1].append(line)
    return [(command, "\n".join(printed)) for command, printed in found]


@pytest.mark.parametrize("example", ["kserve-front", "seldon-front"])
def test_the_commands_of_a_readme_print_what_it_says(example):
    commands = steps((EXAMPLES / example / "README.md").read_text())
    assert len(commands) >= 5, "the page's commands were not found"
    place = str(PORTS[example.replace("-", "_")])
    script = "".join(f"{command}\nprintf '%s' '{MARK}'\n" for command, _ in commands)
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("127.0.0.1:8080", f"127.0.0.1:{place}")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    printed = said.stdout.split(MARK)
    for (command, expected), found in zip(commands, printed, strict=False):
        assert plain(found) == plain(expected), command


def plain(text):
    """Without what is new every time."""
    return UUID.sub(b"<id>", text.strip().encode())
