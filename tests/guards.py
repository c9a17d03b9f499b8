"""What the project forbids and no linter knows. Each guard takes a folder and returns its offences, one line each."""

import ast
import re
from pathlib import Path


MAX_FILE = 400
MAX_BODY = 40
LOCK_FILES = {"uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock", "conda-lock.yml"}
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
RUNS_TEXT_TOO = {"sympify", "parse_expr"}
SKIPS = {"skip", "skipif", "skipIf", "skipTest", "SkipTest", "xfail", "importorskip"}
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
ERRORS = {"BaseException", "Exception", "ValueError", "TypeError", "RuntimeError", "Warning", "UserWarning"}


def _modules(root):
    """Pairs of a file's name and its syntax tree, for every Python file under `root`."""
    files = sorted(
        path for path in root.rglob("*.py") if not any(part[0] == "." for part in path.relative_to(root).parts)
    )
    return [(str(path.relative_to(root)), ast.parse(path.read_text(encoding="utf-8"))) for path in files]


def _nodes(root, kind):
    return [(file, node) for file, tree in _modules(root) for node in ast.walk(tree) if isinstance(node, kind)]


def _last(node):
    """The last name of a possibly dotted or subscripted or called expression."""
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    if isinstance(node, ast.Call):
        return _last(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def long_files(root):
    """Files of more than 400 lines."""
    sizes = [
        (path.relative_to(root), len(path.read_text(encoding="utf-8").splitlines())) for path in root.rglob("*.py")
    ]
    return [f"{file}: {size} lines" for file, size in sorted(sizes) if size > MAX_FILE]


def _body_lines(function):
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def long_functions(root):
    """Functions whose body has more than 40 lines, its docstring not counted."""
    return [
        f"{file}:{node.lineno}: {node.name} has {_body_lines(node)} lines"
        for file, node in _nodes(root, FUNCTION)
        if _body_lines(node) > MAX_BODY
    ]


def inheritance_tricks(root):
    """Calls of `super()` and `hasattr`: methods stand in one class, and types say what there is."""
    return [
        f"{file}:{node.lineno}: {node.func.id}()"
        for file, node in _nodes(root, ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id in {"super", "hasattr"}
    ]


class _Classes:
    """The classes of a tree and what each inherits from the others, names taken as unique."""

    def __init__(self, root):
        self.found = _nodes(root, ast.ClassDef)
        self.by_name = {node.name: node for _, node in self.found}

    def ancestors(self, node):
        bases = [_last(base) for base in node.bases]
        return set(bases).union(*(self.ancestors(self.by_name[base]) for base in bases if base in self.by_name))

    def abstract_members(self, node):
        """Names that are still without an implementation in this class."""
        inherited = set()
        for base in map(_last, node.bases):
            inherited |= self.abstract_members(self.by_name[base]) if base in self.by_name else set()
        own, open_ = set(), set()
        for member in node.body:
            if isinstance(member, FUNCTION):
                is_open = "abstractmethod" in map(_last, member.decorator_list)
                (open_ if is_open else own).add(member.name)
            elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                is_open = _last(member.annotation) in {"AbstractVar", "AbstractClassVar"}
                (open_ if is_open else own).add(member.target.id)
            elif isinstance(member, ast.Assign):
                own |= {target.id for target in member.targets if isinstance(target, ast.Name)}
        return (inherited - own) | open_


def is_abstract(name):
    """Whether a class of this name says that it is abstract."""
    return name.lstrip("_").startswith("Abstract")


def neither_abstract_nor_final(root):
    """Classes that are not abstract or final: subclassed though concrete, or `Abstract*` with nothing left open.

    Errors are a tree on purpose and exempt.
    """
    classes = _Classes(root)
    offences = []
    for file, node in classes.found:
        where = f"{file}:{node.lineno}: {node.name}"
        if classes.ancestors(node) & ERRORS:
            continue
        offences += [
            f"{where} subclasses the concrete {base}"
            for base in map(_last, node.bases)
            if base in classes.by_name and not is_abstract(base)
        ]
        members = classes.abstract_members(node)
        if is_abstract(node.name) and not members:
            offences.append(f"{where} is called abstract and has no abstract member")
        if members and not is_abstract(node.name):
            offences.append(f"{where} is concrete and leaves {', '.join(sorted(members))} open")
    return offences + _instantiated(root, {name for name in classes.by_name if is_abstract(name)})


def _instantiated(root, names):
    return [
        f"{file}:{node.lineno}: {_last(node.func)} is instantiated"
        for file, node in _nodes(root, ast.Call)
        if _last(node.func) in names and not isinstance(node.func, ast.Call)
    ]


def undocumented(root):
    """Modules, and public functions, classes and methods, without a docstring; pydocstyle passes over `_modules`."""
    offences = []
    for file, tree in _modules(root):
        if ast.get_docstring(tree) is None and Path(file).name != "__main__.py":
            offences.append(f"{file}: module")
        for node in tree.body:
            offences += _undocumented(file, "", node)
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                offences += [line for member in node.body for line in _undocumented(file, f"{node.name}.", member)]
    return offences


def _undocumented(file, prefix, node):
    if not isinstance(node, FUNCTION | ast.ClassDef) or (node.name[0] == "_" and node.name != "__call__"):
        return []
    if {"overload", "setter"} & set(map(_last, getattr(node, "decorator_list", []))):
        return []
    return [] if ast.get_docstring(node) else [f"{file}:{node.lineno}: {prefix}{node.name}"]


def executes_text(root):
    """Ways to run text or bytes from outside as code: pickles, eval, exec, SymPy's parsers."""
    offences = []
    for file, node in _nodes(root, ast.Import | ast.ImportFrom):
        names = {alias.name for alias in node.names}
        roots = {name.split(".")[0] for name in (names if isinstance(node, ast.Import) else {node.module or ""})}
        found = (roots & PICKLES) | (names & RUNS_TEXT_TOO)
        offences += [f"{file}:{node.lineno}: import of {name}" for name in sorted(found)]
    for file, node in _nodes(root, ast.Call):
        name = _last(node.func)
        if (isinstance(node.func, ast.Name) and name in RUNS_TEXT) or name in RUNS_TEXT_TOO:
            offences.append(f"{file}:{node.lineno}: {name}()")
        for word in node.keywords:
            if word.arg == "allow_pickle" and not (isinstance(word.value, ast.Constant) and word.value.value is False):
                offences.append(f"{file}:{node.lineno}: allow_pickle")
    return offences


def skipped(root):
    """Tests that do not run or may fail."""
    used = [(file, node, _last(node)) for file, node in _nodes(root, ast.Attribute | ast.Name)]
    imported = [(file, node, alias.name) for file, node in _nodes(root, ast.ImportFrom) for alias in node.names]
    return [f"{file}:{node.lineno}: {name}" for file, node, name in used + imported if name in SKIPS]


def lock_files(root):
    """Lock files, which name the host of a registry; hidden folders such as .venv do not count."""
    return [str(path.relative_to(root)) for path in _visible(root) if path.name in LOCK_FILES]


def _visible(folder):
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name[0] != ".":
            yield from _visible(path)
        elif path.is_file():
            yield path


def bad_constraints(root):
    """Lines of constraints.txt that are not `name==version`, perhaps with a marker: no address, no option."""
    pin = re.compile(r"[a-z0-9-]+==[\w.!+]+( ; .+)?")
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "://" in line or not pin.fullmatch(line)]


def accepts(wrong, error):
    """Whether a call that must raise `error` does anything else."""
    try:
        wrong()
    except error:
        return False
    except Exception:
        return True
    return True
