"""The data that an audit reads: what is taken, what is refused and how that is said."""

import io
import os
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dynamem import catalog
from dynamem._errors import InputError
from dynamem.cli import _memory, main
from dynamem.cli._data import digits, load, require_states, standardised


XI = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.25]])


class Evil:
    """What a pickle would run when read."""

    def __reduce__(self):
        return (os.mkdir, ("pickle-was-read",))


def npy(array):
    def write(path):
        np.save(path, array, allow_pickle=True)

    return write


def npz(**arrays):
    def write(path):
        np.savez(path, allow_pickle=True, **arrays)

    return write


def text(content):
    def write(path):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def header(shape, dtype="<f8"):
    """A .npy file that promises an array and holds none."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def bomb(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("patterns.npy", header((10**9, 10**6)))


def no_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("read.me", "hello")


def damaged_npz(path):
    np.savez_compressed(path, patterns=np.arange(1000.0).reshape(10, 100))
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)


BAD_DATA = {
    # file, how it is written, what the message says
    "missing": ("no.npy", None, "does not exist"),
    "missing folder": ("no/no.npz", None, "does not exist"),
    "a folder": ("xi.npy", Path.mkdir, "folder"),
    "a pipe": ("xi.npy", os.mkfifo, "pipe"),
    "a loop of links": ("xi.npy", lambda path: path.symlink_to(path), "does not exist"),
    "unknown suffix": ("xi.mat", text("1"), "suffix '.mat'"),
    "no suffix": ("xi", text("1"), "suffix ''"),
    "NaN": ("xi.npy", npy(changed(XI, (1, 2), np.nan)), "1 NaN or infinite values, the first at index [1, 2]"),
    "infinity": ("xi.npy", npy(changed(XI, 0, -np.inf)), "3 NaN or infinite values, the first at index [0, 0]"),
    "NaN in float32": ("xi.npy", npy(changed(XI.astype("f4"), (0, 1), np.nan)), "first at index [0, 1]"),
    "NaN in text": ("xi.csv", text("1,2\n3,nan\n"), "first at index [1, 1]"),
    "no patterns": ("xi.npy", npy(np.zeros((0, 3))), "empty"),
    "no features": ("xi.npy", npy(np.zeros((3, 0))), "empty"),
    "one dimension": ("xi.npy", npy(np.ones(3)), "shape (3,)"),
    "a number": ("xi.npy", npy(np.array(1.0)), "shape ()"),
    "four dimensions": ("xi.npy", npy(np.ones((2, 2, 2, 2))), "shape (2, 2, 2, 2)"),
    "complex": ("xi.npy", npy(XI + 1j), "complex128"),
    "strings": ("xi.npy", npy(np.array([["a", "b"]])), "<U1"),
    "dates": ("xi.npy", npy(np.array([["2020-01-01"]], dtype="M8[D]")), "datetime64"),
    "records": ("xi.npy", npy(np.zeros((2, 2), dtype=[("a", "f8")])), "type"),
    "too large to square": ("xi.npy", npy(changed(XI, (0, 2), 1e200)), "index [0, 2]"),
    "objects": ("xi.npy", npy(np.array([[Evil()]], dtype=object)), "pickle"),
    "objects in npz": ("xi.npz", npz(xi=np.array([[Evil()]], dtype=object)), "pickle"),
    "a pickle called npy": ("xi.npy", text(b"\x80\x04\x95\x00\x00."), "no NumPy array file"),
    "an empty npy": ("xi.npy", text(""), "no NumPy array file"),
    "a short npy": ("xi.npy", text(header((4, 4))), "cut short"),
    "a negative shape": ("xi.npy", text(header((-1, 4))), "impossible shape"),
    "an unknown npy version": ("xi.npy", text(b"\x93NUMPY\x09\x00" + bytes(99)), "version"),
    "too big an npy": ("xi.npy", text(header((10**9, 10**6))), "GiB"),
    "too big an npz": ("xi.npz", bomb, "GiB"),
    "no zip": ("xi.npz", text("hello"), "no readable .npz"),
    "a damaged zip": ("xi.npz", damaged_npz, "xi.npz"),
    "an empty npz": ("xi.npz", npz(), "0 arrays"),
    "unknown names": ("xi.npz", npz(a=XI, b=XI), "['a', 'b']"),
    "two good names": ("xi.npz", npz(xi=XI, patterns=XI), "ambiguous"),
    "text that is no array in npz": ("xi.npz", no_array, "no NumPy array file"),
    "a header line": ("xi.csv", text("a,b\n1,2\n"), "'a', which is no number, at line 1, column 1; remove the header"),
    "text": ("xi.csv", text("1,2\n3,x y\n"), "'x y', which is no number, at line 2, column 2"),
    "text after a blank line": ("xi.csv", text("1,2\n\n3,z\n"), "line 3, column 2"),
    "a comment": ("xi.csv", text("# x\n1,2\n"), "line 1, column 1"),
    "semicolons": ("xi.csv", text("1;2\n3;4\n"), "column 1; put commas between the numbers, not semicolons"),
    "tabs": ("xi.csv", text("1\t2\n3\t4\n"), "put commas between the numbers, not tabs"),
    "spaces for commas": ("xi.csv", text("1 2\n3 4\n"), "put commas between the numbers, not spaces"),
    "an empty cell": ("xi.csv", text("1,2\n3,\n"), "empty cell at line 2, column 2"),
    "an underscore": ("xi.csv", text("1,2\n3,1_0\n"), "'1_0', which is no number, at line 2, column 2"),
    "lines of different length": ("xi.csv", text("1,2\n3\n"), "1 numbers on line 2 and 2 on the first"),
    "an empty csv": ("xi.csv", text(""), "empty"),
    "blank lines": ("xi.csv", text("\n\n"), "empty"),
    "no UTF-8": ("xi.csv", text(b"1,\xff\n"), "UTF-8"),
    "bytes": ("xi.csv", text(bytes(range(256))), "UTF-8"),
    "null characters": ("xi.csv", text(b"1,2\n\x00,3\n"), "line 2"),
    "a name with a line break": ("x\ni.npy", npy(np.ones(3)), "x\\ni.npy"),
}
BAD_WEIGHTS = {
    "missing": ("no.npy", None, "does not exist"),
    "negative": ("u.npy", npy(np.array([-0.5, 1.5])), "1 negative weights, the first at index [0]"),
    "too small a sum": ("u.npy", npy(np.array([0.5, 0.4])), "sums to 0.9"),
    "all zero": ("u.npy", npy(np.zeros(2)), "sums to 0"),
    "an overflowing sum": ("u.npy", npy(np.full(2, 1e308)), "sums to inf"),
    "NaN": ("u.npy", npy(np.array([0.5, np.nan])), "index [1]"),
    "too many": ("u.npy", npy(np.full(4, 0.25)), "each of the 2 patterns"),
    "a matrix": ("u.npy", npy(np.full((2, 2), 0.25)), "shape (2, 2)"),
    "none": ("u.npy", npy(np.zeros(0)), "shape (0,)"),
    "complex": ("u.npy", npy(np.array([0.5, 0.5j])), "complex128"),
    "text": ("u.csv", text("0.5\nhalf\n"), "line 2, column 1"),
    "unknown names": ("u.npz", npz(a=np.ones(2), b=np.ones(2)), "'weights' or 'u'"),
}


@pytest.fixture
def refused(monkeypatch, tmp_path, capsys):
    """The one line with which an audit refuses its data; it has to write nothing and compute nothing."""

    def run_audit(*_):
        pytest.fail("the computation started")

    monkeypatch.setattr(catalog, "run_audit", run_audit)
    monkeypatch.chdir(tmp_path)

    def run(*args):
        before = sorted(Path().iterdir())
        assert main(["audit", "--json", "a.json", *args]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("dynamem: error: ")
        assert err.count("\n") == 1
        assert sorted(Path().iterdir()) == before
        return err

    return run


@pytest.mark.parametrize(("file", "write", "says"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_is_refused(refused, file, write, says):
    if write is not None:
        write(Path(file))
    err = refused("--data", file)
    assert says in err
    assert f"data={file!r}" in err


@pytest.mark.parametrize(("file", "write", "says"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights_are_refused(refused, file, write, says):
    np.save("xi.npy", XI.astype("f4"))  # with a note on the conversion, which an error must not bring along
    if write is not None:
        write(Path(file))
    err = refused("--data", "xi.npy", "--weights", file)
    assert says in err
    assert f"weights={file!r}" in err


def test_data_that_may_not_be_read_is_refused(refused, monkeypatch):
    np.save("xi.npy", XI)

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root may read any file
    assert "Permission denied" in refused("--data", "xi.npy")


def test_text_too_large_for_memory_is_refused(refused, monkeypatch):
    Path("xi.csv").write_text("0.123456789,1.123456789\n" * 20000)
    monkeypatch.setattr(_memory, "available", lambda: 320_000 // 2)
    assert "GiB" in refused("--data", "xi.csv")


def test_memory_is_asked_before_the_elements_are_read(monkeypatch, tmp_path):
    np.save(tmp_path / "xi.npy", XI)
    np.save(tmp_path / "f4.npy", XI.astype("f4"))
    monkeypatch.setattr(_memory, "available", lambda: XI.nbytes)
    assert load(str(tmp_path / "xi.npy")).patterns.nbytes == XI.nbytes
    with pytest.raises(InputError, match="GiB"):  # the converted copy comes on top
        load(str(tmp_path / "f4.npy"))
    monkeypatch.setattr(_memory, "available", lambda: None)  # where the system does not tell
    assert load(str(tmp_path / "f4.npy")).patterns.shape == XI.shape


def test_available_memory_is_known_on_linux():
    known = _memory.available()
    assert known is None or 2**20 < known < 2**50
    assert known is not None or sys.platform != "linux"


def test_states_are_bounded_by_all_that_a_run_saves(monkeypatch):
    monkeypatch.setattr(_memory, "available", lambda: 8 * 64 * 2050 * 10)
    require_states(10, 64, ["log_sum_exp"])
    with pytest.raises(InputError, match="fewer states"):
        require_states(11, 64, ["log_sum_exp"])
    with pytest.raises(InputError, match="fewer states"):  # a sweep keeps its runs as well
        require_states(10, 64, ["log_sum_exp", "reverse_sde/VP"])


GOOD = {
    # file, how it is written, words of the note
    "npy": ("xi.npy", npy(XI), None),
    "upper case suffix": ("XI.CSV", text("0,1,0.5\n1,0,0.25\n"), None),
    "a path with spaces": ("my xi.npy", npy(XI), None),
    "column order": ("xi.npy", npy(np.asfortranarray(XI)), None),
    "big-endian": ("xi.npy", npy(XI.astype(">f8")), None),
    "float32": ("xi.npy", npy(XI.astype("f4")), "float32 to float64"),
    "float16": ("xi.npy", npy(XI.astype("f2")), "float16 to float64"),
    "npz with one array": ("xi.npz", npz(anything=XI), "'anything'"),
    "npz with patterns": ("xi.npz", npz(patterns=XI, other=XI + 1), "'patterns'"),
    "npz with xi": ("xi.npz", npz(other=XI + 1, xi=XI), "'xi'"),
    "csv": ("xi.csv", text("0,1,0.5\n1,0,0.25\n"), None),
    "csv of a spreadsheet": ("xi.csv", text("\ufeff0, 1,0.5\r\n1,\"0\",2.5e-1\r\n\r\n"), None),
}  # fmt: skip


@pytest.mark.parametrize(("file", "write", "told"), GOOD.values(), ids=GOOD)
def test_good_data_is_read(tmp_path, file, write, told):
    write(tmp_path / file)
    data = load(str(tmp_path / file))
    np.testing.assert_array_equal(data.patterns, XI)
    assert data.patterns.dtype == np.dtype("=f8")
    assert data.patterns.flags.c_contiguous
    assert (data.name, data.image_shape, data.weights) == (file, None, None)
    assert [told in note for note in data.notes] == [True] * (told is not None)


@pytest.mark.parametrize("dtype", ["i8", "u1", "?"])
def test_integers_are_converted_with_a_note(tmp_path, dtype):
    np.save(tmp_path / "xi.npy", np.eye(3).astype(dtype))
    data = load(str(tmp_path / "xi.npy"))
    np.testing.assert_array_equal(data.patterns, np.eye(3))
    assert "to float64" in data.notes[0]


def test_images_are_flattened_with_a_note(tmp_path):
    images = np.arange(24.0).reshape(2, 3, 4)
    np.save(tmp_path / "xi.npy", images)
    data = load(str(tmp_path / "xi.npy"))
    np.testing.assert_array_equal(data.patterns, images.reshape(2, 12))
    assert data.image_shape == (3, 4)
    assert "2 images of 3 x 4" in data.notes[0]


@pytest.mark.parametrize("xi", [np.ones((1, 3)), np.ones((4, 2)), np.zeros((1, 1))])
def test_one_pattern_and_constant_ones_are_allowed(tmp_path, xi):
    np.save(tmp_path / "xi.npy", xi)
    np.testing.assert_array_equal(load(str(tmp_path / "xi.npy")).patterns, xi)
    np.testing.assert_array_equal(load(str(tmp_path / "xi.npy"), standardise=True).patterns, 0 * xi)


@pytest.mark.parametrize("shape", [(2,), (2, 1), (1, 2)])
def test_weights_are_read_and_sum_to_one(tmp_path, shape):
    np.save(tmp_path / "xi.npy", XI)
    np.save(tmp_path / "u.npy", np.array([0.25, 0.7500005]).reshape(shape))
    data = load(str(tmp_path / "xi.npy"), str(tmp_path / "u.npy"))
    np.testing.assert_allclose(data.weights, [0.25, 0.75], rtol=1e-6)
    assert abs(data.weights.sum() - 1) < 1e-15
    assert data.notes == ()


def test_patterns_and_weights_share_an_npz(tmp_path):
    path = str(tmp_path / "both.npz")
    np.savez(path, xi=XI, weights=np.array([0.0, 1.0]))
    data = load(path, path)
    np.testing.assert_array_equal(data.patterns, XI)
    np.testing.assert_array_equal(data.weights, [0, 1])


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    np.testing.assert_array_equal(digits(), load_digits().data / 16)
    data = load(None)
    assert (data.name, data.image_shape, data.patterns.shape) == ("digits", (8, 8), (1797, 64))
    assert (data.patterns.min(), data.patterns.max()) == (0, 1)


def test_digits_are_found_where_the_file_has_moved(monkeypatch):
    want = digits()
    monkeypatch.setattr("dynamem.cli._data.find_spec", lambda _: None)
    np.testing.assert_array_equal(digits(), want)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e100, 1e-310])
def test_standardised_features_have_mean_zero_and_variance_one(scale):
    xi = scale * np.random.default_rng(0).normal(3.0, 2.0, (50, 4))
    xi[:, 1] = 0.1 * scale  # its computed variance is not zero
    found, constant = standardised(xi)
    assert constant == 1
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=0), [1, 0, 1, 1], atol=1e-12)
    np.testing.assert_array_equal(found[:, 1], 0)


def test_standardised_digits_tell_about_constant_features():
    data = load(None, standardise=True)
    assert data.name == "digits, standardised"
    assert "3 of 64 features are constant" in data.notes[0]


def test_notes_go_to_standard_error(monkeypatch, tmp_path, capsys):
    found = SimpleNamespace(rows=[], environment={}, claims=[], errors=[])
    monkeypatch.setattr(catalog, "run_audit", lambda *_: found)
    np.save(tmp_path / "xi.npy", np.eye(2, dtype=int))
    assert main(["audit", "--data", str(tmp_path / "xi.npy")]) == 0
    out, err = capsys.readouterr()
    assert "note" not in out
    assert err.startswith("dynamem: note: data=")
    assert err.count("\n") == 1
