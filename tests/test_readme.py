"""The README is held to what it says: its example runs and prints what is shown, its links and names exist."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import dynamem as dm
from dynamem.cli import make_parser


ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.long
def test_the_example_prints_what_is_shown():
    (code, _), (shown,) = blocks("python"), blocks("text")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue() == shown


def test_the_example_has_about_twenty_lines():
    code, _ = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 24


class Climb(eqx.Module):
    """The descent with a wrong sign."""

    memory: dm.LogSumExp

    def __call__(self, t, x, args):
        return jax.grad(self.memory, argnums=1)(t, x)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_property_finds_an_energy_that_rises(sign):
    _, code = blocks("python")

    def flow(xi):
        memory = dm.LogSumExp(jnp.asarray(xi), 1.0)
        return dm.GradientFlow(memory) if sign > 0 else dfx.ODETerm(Climb(memory))

    names = {"my_energy": lambda xi: dm.LogSumExp(jnp.asarray(xi), 1.0), "my_flow": flow, "__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    if sign > 0:
        names["test_my_energy_falls"]()
    else:
        with pytest.raises(AssertionError, match="the energy rises"):
            names["test_my_energy_falls"]()


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert targets
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert missing == []


def test_names_are_public():
    names = set(re.findall(r"\bdm\.(\w+)", TEXT))
    assert names
    assert names <= set(dm.__all__)


def test_the_map_has_every_room_and_no_other():
    listed = set(re.findall(r"^\| `dynamem/(\w+)/` \|", TEXT, flags=re.MULTILINE))
    rooms = {path.parent.name for path in (ROOT / "dynamem").glob("*/__init__.py")}
    assert listed == rooms


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--(?!dynamem-)[a-z]+)", TEXT))))
def test_options_exist(option):
    commands = make_parser()._subparsers._group_actions[0].choices.values()
    assert option in {name for one in commands for action in one._actions for name in action.option_strings}


def test_options_of_the_plugin_exist(pytestconfig):
    told = set(re.findall(r"`(--dynamem-[a-z]+)", TEXT))
    assert told == {"--dynamem-report", "--dynamem-certify", "--dynamem-certificates", "--dynamem-profile"}
    for option in told:
        pytestconfig.getoption(option)  # raises where there is none


def test_exit_codes_are_those_of_the_command_line():
    told = set(re.findall(r"^\| (\d+) \| ", TEXT, flags=re.MULTILINE))
    known = set(re.findall(r"^  (\d+) ", make_parser().epilog, flags=re.MULTILINE))
    assert told == known


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)`", TEXT))))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_property_sets_the_precision_that_it_needs():
    """In a process of its own: here all tests have 64 bits."""
    _, code = blocks("python")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "PYTEST"))}
    script = f"{code}\nimport dynamem as dm\nmy_energy = lambda xi: dm.LogSumExp(xi, 1.0)\n"
    script += "my_flow = lambda xi: dm.GradientFlow(my_energy(xi))\ntest_my_energy_falls()\n"
    done = subprocess.run(
        [sys.executable, "-c", script], env=plain, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
