"""Certificates: what is certified replays in Arb alone, and nothing that was changed does."""

import copy
import json
import subprocess
import sys

import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dynamem as dm
from dynamem.rigour import Unreadable, verify
from dynamem.rigour._document import digest
from tests.certify_cases import CASES


CERTIFIED = sorted(name for name, case in CASES.items() if case[-1] == "certified")
LARGE = {"van der Pol, level 2.304", "a needle that does not"}  # some 10,000 parts and more


def made(name):
    energy, flow, box, constraints, claim, _ = CASES[name]
    return dm.certify(energy, flow, box, constraints=constraints, claim=claim, algebra=False).evidence["certificate"]


@pytest.fixture(scope="module")
def body():
    return made("cubic near its basin's edge")


def replayed(folder, body):
    file = folder / "certificate.json"
    file.write_text(json.dumps(body))
    return verify(file)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] * (n in LARGE)) for n in CERTIFIED])
def test_certificates_replay(name, tmp_path):
    good, reason = replayed(tmp_path, made(name))
    assert good, reason


def test_the_program_is_short_and_its_constants_are_exact(body):
    assert len(body["program"]["nodes"]) < 40
    constants = [line[3] for line in body["program"]["nodes"] if line[0] == "const"]
    assert all(float.fromhex(value) for values in constants for value in values)


def leaves(body, path=()):
    """Paths of all values in nested JSON."""
    if isinstance(body, dict):
        return [found for key, value in body.items() for found in leaves(value, (*path, key))]
    if isinstance(body, list) and body:
        return [found for place, value in enumerate(body) for found in leaves(value, (*path, place))]
    return [path]


def changed(value):
    """Something else of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str) and value.startswith(("0x", "-0x")):
        return (float.fromhex(value) * 1.5 + 1.0).hex()
    return f"{value} " if isinstance(value, str) else ["something"]


def altered(body, path):
    other = copy.deepcopy(body)
    inner = other
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = changed(inner[path[-1]])
    return other


@given(data=st.data())
def test_any_field_that_is_changed_makes_it_fail(tmp_path_factory, body, data):
    other = altered(body, data.draw(st.sampled_from(leaves(body))))
    try:
        good, _ = replayed(tmp_path_factory.mktemp("changed"), other)
    except Unreadable:
        return
    assert not good


def signed(body):
    """With a hash that fits, as a forger would have it."""
    return body | {"sha256": digest(body)}


def test_a_forger_cannot_claim_more(body, tmp_path):
    wider = signed(body | {"box": [[(-1.5).hex(), (1.5).hex()]]})
    assert replayed(tmp_path, wider) == (False, replayed(tmp_path, wider)[1])
    fewer = signed(body | {"cuts": " ".join(body["cuts"].split()[:-1])})
    assert "not decided" in replayed(tmp_path, fewer)[1]
    more = signed(body | {"cuts": body["cuts"] + " v"})
    assert "more cuts" in replayed(tmp_path, more)[1]
    one = signed(body | {"cuts": "v"})
    assert "may be" in replayed(tmp_path, one)[1]
    unconstrained = signed(body | {"cuts": body["cuts"].replace("c0", "v")})
    assert not replayed(tmp_path, unconstrained)[0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"schema": "dynamem.certificate/1"}, "this version reads"),
        ({"extra": 1}, "missing or unknown"),
        ({"constraints": 7}, "does not fit"),
        ({"program": {"nodes": [["exec", [], 1, []]], "inputs": [0], "outputs": [0]}}, "cannot be read"),
        ({"program": {"nodes": [["add", [0, 1], 1, []]], "inputs": [0], "outputs": [0]}}, "wrong arguments"),
        ({"program": {"nodes": [["input", [], 1, []], ["const", [], 1, ["inf"]]], "inputs": [0], "outputs": [1, 1]}},
         "wrong data"),
        ({"box": [["-inf", "inf"]]}, "not how a finite number is written"),
        ({"box": [["0x1.0000000000000p+0", "1e400"]]}, "not how a finite number is written"),
        ({"box": [["0x1.0000000000000p+0", "0x0.0p+0"]]}, "box: not of their kind"),
        ({"points": [["0x0.0p+0"] * 7]}, "points: not of their kind"),
        ({"claim": "the moon is made of cheese"}, "no question has these words"),
        ({"claim": "LE + nan E <= 0"}, "no question has these words"),
        ({"claim": "LE <= 0"}, "needs False"),
        ({"claim": "E > 0", "strict": False}, "needs True"),
        ({"semantics": "floats"}, "semantics: not of their kind"),
        ({"timed": 1}, "timed: not of their kind"),
        ({"constraints": True}, "constraints: not of their kind"),
        ({"constraints": -1}, "constraints: not of their kind"),
        ({"cuts": "\u0661"}, "cuts: not of their kind"),
        ({"cuts": "c" + "9" * 5000}, "cuts: not of their kind"),
        ({"cuts": "v\n"}, "cuts: not of their kind"),
        *(({"program": {"nodes": [["input", [], 1, []], *lines], "inputs": [0], "outputs": [1, 1]}}, match)
          for lines, match in (
              ([["const", [], 1, ["1/0"]]], "cannot be read"),
              ([["const", [], 1, [True]], ["neg", [1], 1, []]], "wrong kinds"),
              ([["lt", [0, 0], 1, []]], "does not fit"),
              ([["take", [0], 1, [1]]], "wrong data"),
              ([["take", [0], 2, [0, 0]], ["sum", [1], 1, [3]]], "wrong data"),
              ([["take", [0], 2, [0, 0]], ["add", [0, 1], 3, []]], "wrong data"),
          )),
        ({"box": 3}, "cannot be read"),
    ],
)  # fmt: skip
def test_malformed_certificates_get_one_clear_error(body, tmp_path, change, match):
    with pytest.raises(Unreadable, match=match):
        replayed(tmp_path, signed(body | change))


def test_a_region_without_a_point_claims_nothing(body, tmp_path):
    good, why = replayed(tmp_path, signed(body | {"cuts": "c0", "program": EMPTY, "constraints": 1}))
    assert not good
    assert "the region is empty" in why


EMPTY = {
    "nodes": [
        ["input", [], 1, []], ["const", [], 1, ["0x1.0000000000000p+0"]], ["powi", [0], 1, [2]], ["add", [1, 2], 1, []],
    ],
    "inputs": [0], "outputs": [0, 3],
}  # fmt: skip


def test_what_verify_says_is_about_the_program_in_the_file(body, tmp_path):
    good, words = replayed(tmp_path, body)
    assert good
    assert words.startswith(f"{body['claim']}, about the program in the file, for coordinates in [")


def test_files_that_are_no_certificates(tmp_path):
    for name, text in {
        "empty": "",
        "text": "hello",
        "list": "[1]",
        "nan": '{"schema": NaN}',
        "twice": '{"schema": "dynamem.certificate/2", "schema": "dynamem.certificate/2"}',
        "digits": '{"schema": ' + "1" * 5000 + "}",
        "deep": "[" * 10**5,
    }.items():
        file = tmp_path / name
        file.write_text(text)
        with pytest.raises(Unreadable):
            verify(file)
    with pytest.raises(Unreadable, match="No such file"):
        verify(tmp_path / "none")


def test_a_certificate_is_checked_without_jax_and_numpy(body, tmp_path):
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(body))
    code = (
        "import sys\n"
        "for name in ('jax', 'numpy', 'scipy', 'sympy', 'diffrax', 'equinox'): sys.modules[name] = None\n"
        "from dynamem.rigour import verify\n"
        f"assert verify({str(file)!r})[0]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_certificate_that_would_be_too_large_is_none(monkeypatch):
    from dynamem.rigour import _certificate

    monkeypatch.setattr(_certificate, "MOST_LEAVES", 10)
    energy, flow, box, constraints, claim, _ = CASES["linear"]
    verdict = dm.certify(energy, flow, jnp.asarray(box), constraints=constraints, claim=claim, algebra=False)
    assert verdict.status == "certified"
    assert verdict.evidence["certificate"] is None
    assert "more than 10" in verdict.evidence["no_certificate"]
