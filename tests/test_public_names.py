"""The public names: what type checkers are told, what is there at run time, and that it is documented."""

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dynamem as dm
from dynamem.cli import main
from tests import catalogue


INIT = Path(dm.__file__)
NAMES = sorted(set(dm.__all__) - {"__version__"})


def lazy(tree):
    """Pairs (room, name) of the table `_ROOMS`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_ROOMS":
            return {(room, name) for room, names in ast.literal_eval(node.value).items() for name in names.split()}
    return set()


def declared(tree):
    """Pairs (room, name) of the imports `from .room import Name as Name` under `TYPE_CHECKING`."""
    branches = [node for node in tree.body if isinstance(node, ast.If) and node.test.id == "TYPE_CHECKING"]
    imports = [node for branch in branches for node in branch.body if isinstance(node, ast.ImportFrom)]
    return {(node.module, alias.name) for node in imports for alias in node.names if alias.asname == alias.name}


def test_the_table_and_the_declarations_agree():
    tree = ast.parse(INIT.read_text())
    assert lazy(tree) == declared(tree)
    assert lazy(tree)


@pytest.mark.parametrize(
    "declaration", ["from .a import B as B", "from .a import B", "from .b import A as A"], ids=["name", "alias", "room"]
)
def test_a_disagreement_is_seen(declaration):
    tree = ast.parse(f"if TYPE_CHECKING:\n    {declaration}\n_ROOMS = {{'a': 'A'}}\n")
    assert lazy(tree) == {("a", "A")} != declared(tree)


def test_no_name_is_that_of_a_room():
    """Importing a room binds its name in the package, and the public name would be gone."""
    rooms = {path.stem if path.is_file() else path.name for path in INIT.parent.iterdir()}
    assert not rooms & set(NAMES)


def loaded_by(code):
    """The modules among jax, numpy and diffrax that a fresh interpreter has loaded after `code`."""
    watch = "import sys; print(*sorted({'jax', 'numpy', 'diffrax', 'matplotlib'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", f"{code}; {watch}"], capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import dynamem; dir(dynamem); dynamem.__version__; import dynamem.cli") == []
    assert "jax" in loaded_by("import dynamem; dynamem.VP")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_resolves_and_is_documented(name):
    public = getattr(dm, name)
    assert public is getattr(dm, name)
    assert name in dir(dm)
    assert inspect.getdoc(public)
    if inspect.isclass(public):
        bare = [method for method in methods(public) if not inspect.getdoc(getattr(public, method))]
        assert not bare


def methods(cls):
    """The public methods and properties of a class that dynamem defines."""
    ours = [base for base in cls.__mro__ if base.__module__.split(".")[0] == dm.__name__]
    members = {name: value for base in ours for name, value in vars(base).items() if name[0] != "_"}
    return sorted(name for name, value in members.items() if callable(value) or isinstance(value, property))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match=r"module 'dynamem' has no attribute 'Hopfeld'"):
        _ = dm.Hopfeld


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((INIT.parents[1] / "pyproject.toml").read_text())["project"]
    assert dm.__version__ == project["version"]


def test_the_list_names_every_public_piece(capsys):
    assert main(["list"]) == 0
    listed = {
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ") and line.strip()
    }
    catalogue.import_all()
    bases = (dm.AbstractEnergy, dm.AbstractSchedule, dm.AbstractDenoiser, dm.AbstractFlow, dm.AbstractSampler)
    public = {name for base in bases for name in catalogue.leaves(base)} & set(dm.__all__)
    assert len(public) > 50
    assert public - listed == set()
