"""The guards hold for this project, and each of them fails on a small sample that breaks it."""

import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

import dynamem as dm
from tests import guards


ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS, PROOFS = ROOT / "dynamem", ROOT / "tests", ROOT / "proofs"

LONG_BODY = "def f():\n    '''Doc.'''\n" + "    x = 1\n" * 41
OPEN = "import abc\nclass AbstractA:\n    @abc.abstractmethod\n    def go(self): ...\n"

# guard, the folder it keeps, a file that breaks it (name, text)
GUARDS = [
    (guards.long_files, PACKAGE, "a.py", "x = 1\n" * 401),
    (guards.long_files, TESTS, "deep/a.py", "x = 1\n" * 401),
    (guards.long_files, PROOFS, "a.py", "x = 1\n" * 401),
    (guards.long_functions, PACKAGE, "a.py", LONG_BODY),
    (guards.long_functions, PROOFS, "a.py", LONG_BODY),
    (guards.inheritance_tricks, PROOFS, "a.py", "ok = hasattr(1, 'real')\n"),
    (guards.executes_text, PROOFS, "a.py", "eval('1')\n"),
    (guards.inheritance_tricks, PACKAGE, "a.py", "class A:\n    def f(self):\n        return super().f()\n"),
    (guards.inheritance_tricks, PACKAGE, "a.py", "ok = hasattr(1, 'real')\n"),
    (guards.neither_abstract_nor_final, PACKAGE, "a.py", "class A: ...\nclass B(A): ...\n"),
    (guards.neither_abstract_nor_final, PACKAGE, "a.py", "import m\nclass A: ...\nclass B(m.A[int]): ...\n"),
    (guards.neither_abstract_nor_final, PACKAGE, "a.py", "class AbstractA:\n    def go(self): ...\n"),
    (guards.neither_abstract_nor_final, PACKAGE, "a.py", OPEN + "class B(AbstractA): ...\n"),
    (guards.neither_abstract_nor_final, PACKAGE, "a.py", OPEN + "a = AbstractA()\n"),
    (guards.undocumented, PACKAGE, "_a.py", "'''Doc.'''\ndef f(): ...\n"),
    (guards.undocumented, PACKAGE, "_a.py", "'''Doc.'''\nclass A:\n    '''Doc.'''\n    def f(self): ...\n"),
    (guards.undocumented, PACKAGE, "_a.py", "'''Doc.'''\nclass A:\n    '''Doc.'''\n    def __call__(self): ...\n"),
    (guards.undocumented, PACKAGE, "_a.py", "x = 1\n"),
    (guards.executes_text, PACKAGE, "a.py", "import pickle\n"),
    (guards.executes_text, PACKAGE, "a.py", "from cloudpickle import loads\n"),
    (guards.executes_text, PACKAGE, "a.py", "eval('1')\n"),
    (guards.executes_text, PACKAGE, "a.py", "exec('1')\n"),
    (guards.executes_text, PACKAGE, "a.py", "import sympy as sp\nsp.sympify('x')\n"),
    (guards.executes_text, PACKAGE, "a.py", "import numpy as np\nnp.load('a', allow_pickle=True)\n"),
    (guards.skipped, TESTS, "a.py", "import pytest\n@pytest.mark.skip\ndef f(): ...\n"),
    (guards.skipped, TESTS, "a.py", "import pytest\n@pytest.mark.xfail(reason='')\ndef f(): ...\n"),
    (guards.skipped, TESTS, "a.py", "from pytest import importorskip\n"),
    (guards.lock_files, ROOT, "deep/uv.lock", ""),
    (guards.bad_constraints, ROOT, "constraints.txt", "jax @ https://example.org/jax.whl\n"),
    (guards.bad_constraints, ROOT, "constraints.txt", "--index-url=somewhere\n"),
]
KEPT = sorted({(guard.__name__, folder) for guard, folder, _, _ in GUARDS})


@pytest.mark.parametrize(("guard", "folder"), KEPT, ids=lambda value: value if isinstance(value, str) else value.name)
def test_the_project_keeps(guard, folder):
    offences = getattr(guards, guard)(folder)
    assert not offences, "\n".join([guard, *offences])


@pytest.mark.parametrize(("guard", "file", "text"), [(guard, file, text) for guard, _, file, text in GUARDS])
def test_a_broken_sample_is_seen(tmp_path, guard, file, text):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert guard(tmp_path)


def test_what_is_allowed_passes(tmp_path):
    (tmp_path / "a.py").write_text(
        '"""Doc."""\nimport re\nimport jax\n\n'
        "class OneError(ValueError):\n    '''Doc.'''\n\nclass TwoError(OneError):\n    '''Doc.'''\n\n"
        "def _f():\n    return re.compile('a'), jax.eval_shape(_f)\n"
    )
    for guard in (guards.neither_abstract_nor_final, guards.undocumented, guards.executes_text, guards.long_functions):
        assert not guard(tmp_path), guard.__name__
    (tmp_path / "b.py").write_text(
        OPEN + "class AbstractB(AbstractA): ...\nclass C(AbstractB):\n    def go(self): ...\n"
    )
    assert not guards.neither_abstract_nor_final(tmp_path)


XI = jnp.ones((2, 3))
WRONG_SHAPES = {
    "a state that is shorter than the patterns": lambda: dm.LogSumExp(XI, beta=1.0)(0.0, jnp.ones(2)),
    "a batch in place of a state": lambda: dm.LogSumExp(XI, beta=1.0)(0.0, jnp.ones((2, 3))),
    "one pattern in place of patterns": lambda: dm.Empirical(jnp.ones(3)),
    "weights for other patterns": lambda: dm.Empirical(XI, jnp.ones((2, 1))),
    "a state of a law that is too long": lambda: dm.Empirical(XI).denoise(jnp.ones(4), 0.5),
}


CHECKED = """
from jaxtyping import TypeCheckError, install_import_hook

with install_import_hook("dynamem", "beartype.beartype"):
    from tests.test_guards import WRONG_SHAPES, guards

    print([name for name, wrong in WRONG_SHAPES.items() if guards.accepts(wrong, TypeCheckError)])
"""


def test_wrong_shapes_raise_where_shapes_are_checked():
    """In a process of its own: only what is imported under the hook is checked."""
    done = subprocess.run([sys.executable, "-c", CHECKED], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("wrong", [lambda: None, lambda: jnp.ones((2, 3)) @ jnp.ones(2)], ids=["runs", "other error"])
def test_a_shape_that_nobody_checks_is_seen(wrong):
    assert guards.accepts(wrong, TypeCheckError)
