"""Ctrl-C in the midst of a computation that nothing can interrupt."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


ROOT = Path(__file__).resolve().parents[1]

# It says when the run has begun, and then computes for an hour.
STUCK = """
import sys, threading, time
import jax.numpy as jnp
import dynamem as dm

def energy(t, x):
    if threading.current_thread() is not threading.main_thread():
        print("begun", flush=True)
        time.sleep(3600)
    return x @ x

system = dm.System(energy, dm.GradientFlow(energy), jnp.ones((1, 2)), 0.0, 1.0)
"""


def test_ctrl_c_ends_the_process_at_once_and_leaves_no_file(tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK)
    command = [sys.executable, "-B", "-m", "dynamem", "audit", "--system", "stuck:system"]
    command += ["--json", "new/a.json", "--html", "a.html"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=env, **pipes) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert time.monotonic() - start < 5  # on a busy machine; it grants its threads a second
    assert (process.returncode, out, err) == (130, "", "dynamem: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["stuck.py"]
