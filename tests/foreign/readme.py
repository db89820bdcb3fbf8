"""Runs the commands of a page as a reader would paste them, in one shell, and compares what
they print with what the page shows below them: readme.py PAGE [FROM=TO ...]"""

import re
import subprocess
import sys

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = "\x1e"


def steps(page):
    found = []
    for line in "".join(BLOCK.findall(page)).splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        else:
            found[-1][1].append(line)
    return [(command, "\n".join(shown)) for command, shown in found]


def main(page, changes):
    with open(page) as file:
        text = file.read()
    for change in changes:
        before, after = change.split("=", 1)
        assert before in text, f"{before} is not in {page}"
        text = text.replace(before, after)
    commands = steps(text)
    assert len(commands) > 5, "the page's commands were not found"
    script = "".join(f"{command}\nprintf '%s' '{MARK}'\n" for command, _ in commands)
    said = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True, timeout=900)
    printed = said.stdout.split(MARK)
    for (command, shown), output in zip(commands, printed):
        pattern = ".*".join(map(re.escape, shown.strip().split("…")))
        if shown and not re.fullmatch(pattern, output.strip(), re.DOTALL):
            sys.exit(f"$ {command}\nprints\n{output}\nand not\n{shown}")
    print(f"{page}: {len(commands)} commands")


main(sys.argv[1], sys.argv[2:])
