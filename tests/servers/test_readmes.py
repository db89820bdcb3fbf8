"""The commands in the examples' READMEs print what the READMEs say."""

import pathlib
import re
import subprocess

import pytest
from gates import PORTS

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = "\x1e"


def steps(page):
    """The commands of a page, each with what it prints; a line that ends in `\\` goes on."""
    found = []
    for block in BLOCK.findall(page):
        goes_on = False
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif goes_on:
                found[-1][0] += f"\n{line}"
            else:
                found[-1][1].append(line)
            goes_on = line.endswith("\\")
    return [(command, "\n".join(printed)) for command, printed in found]


def is_as_shown(shown, text):
    """Whether the text is what is shown, with any text for each `…`."""
    pattern = ".*".join(map(re.escape, shown.strip().split("…")))
    return re.fullmatch(pattern, text.strip(), re.DOTALL) is not None


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
    printed = said.stdout.split(MARK)[:-1]
    for (command, shown), text in zip(commands, printed, strict=True):
        assert is_as_shown(shown, text), f"$ {command}\nprints\n{text}\nand not\n{shown}"
