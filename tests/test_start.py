"""No command loads more than it needs to say what it does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from epistem.app.cli import app

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
LIGHT = {
    "annotated_doc", "annotated_types", "attr", "attrs", "click", "colorama", "epistem", "markdown_it", "mdurl",
    "pydantic", "pydantic_core", "pygments", "rich", "shellingham", "typer", "typing_extensions", "typing_inspection",
}  # fmt: skip
"""typer's own."""
MOST_CPU_S = 1.0

# Each command asks in the same process: what the ones before have loaded is known, what it adds is its own.
_ASK_ALL = """
import json, sys, sysconfig
def loaded():
    return {name.partition('.')[0] for name in list(sys.modules)}
before = loaded()
from typer.testing import CliRunner
from epistem.app.cli import app
runner = CliRunner()
added = {}
for words in json.loads(sys.argv[1]):
    came = runner.invoke(app, [*words, '--help'])
    assert came.exit_code == 0, (words, came.output)
    now = loaded()
    new = sorted(now - before - set(sys.stdlib_module_names))
    added[' '.join(words)] = [name for name in new if not name.startswith('_sysconfigdata')]
    before = now
print(json.dumps(added))
"""


def asked(commands: list[list[str]]) -> dict[str, list[str]]:
    words = [sys.executable, "-c", _ASK_ALL, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, list[str]] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def added() -> dict[str, list[str]]:
    return asked([[], *([name] for name in COMMANDS)])


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_of_a_command_loads_no_library_that_it_does_not_need(command: str, added: dict[str, list[str]]) -> None:
    assert set(added[command]) <= LIGHT


def test_help_takes_less_than_a_second_of_this_machine() -> None:
    """Time of this process alone, so that a busy machine changes nothing; benchmarks/help_speed has the clock's."""
    code = (
        "import sys, time; sys.argv = ['epistem', '--help']\n"
        "from epistem.app.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    taken = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
        taken.append(float(done.stderr))
    assert min(taken) < MOST_CPU_S
