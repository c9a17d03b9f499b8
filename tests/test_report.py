import base64
import dataclasses
import hashlib
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from dynamem.catalog._audit_types import (
    AGREES,
    CONTRADICTED,
    NOT_EXERCISED,
    Audit,
    Claim,
    Curve,
    Figures,
    Plane,
    Recall,
)
from dynamem.catalog._rows import PARTS, row
from dynamem.report import write_html
from dynamem.report._bars import chosen_rows


HOSTILE = "<script>alert('$x^$')</script>:$memory_1$"
ENERGIES = ("density", "density_canonical", "hopfield", "frozen", "free")


class Page(HTMLParser):
    """Tags, attributes, text and tables of a page; complains about tags that do not nest."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tags, self.open, self.words, self.tables = [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def table(self, *head):
        """The tables whose head starts like this, without the head."""
        return [table[1:] for table in self.tables if table and table[0][: len(head)] == list(head)]

    @property
    def text(self):
        return " ".join(self.words)

    def drawings(self):
        prefix = "data:image/svg+xml;base64,"
        return [base64.b64decode(image["src"].removeprefix(prefix)).decode() for image in self.all("img")]


def broken(change=2.0, **fields):
    parts = dict(zip(PARTS, (3.0, -1.5, 0.25, 0.0, 0.0, 0.25), strict=True))
    parts = {name: value * change / 2 for name, value in parts.items()}
    found = {"verdict": "broken", "reason": "3 of 8 steps rise", "rises": 3, "rise_fraction": 0.375, "states": 2}
    return fields | found | {"largest_rise": change, "first_rise": {"clock": 0.1, "lam": -1.25}, "attribution": parts}


def diffusion_rows(schedules=("VP", "FlowMatching")):
    rows = []
    for schedule in schedules:
        for solver, steps, statement in (("Tsit5", None, "pathwise"), ("DDIM", 10, "pathwise"), (None, None, "rate")):
            base = {"system": f"probability_flow/{schedule}", "dynamics": "probability_flow", "schedule": schedule}
            base |= {"solver": solver, "steps": steps, "clock": "lam", "statement": statement}
            for energy in ENERGIES:
                kept = {"verdict": "holds", "reason": "no rise in 8 steps", "rise_fraction": 0.0, "largest_rise": 0.0}
                found = kept if energy == "free" else broken(1.0 + len(rows))
                rows.append(row(**base, energy=energy, **found))
    return rows


def memory_row(system="log_sum_exp", **found):
    base = {
        "system": system,
        "dynamics": "gradient",
        "schedule": None,
        "solver": "Tsit5",
        "steps": None,
        "clock": "tau",
    }
    kept = {"verdict": "holds", "reason": "no rise", "rise_fraction": 0.0, "largest_rise": 0.0}
    return row(**base, energy="own", statement="pathwise", **(found or kept))


def curve(energy="density", schedule="VP", n=21):
    lam = np.linspace(-3.0, 3.0, n)
    values = np.stack([100 * np.sin(lam), 50 * np.cos(lam)]) + (200 if energy == "free" else 0)
    return Curve(energy, f"{energy}, {schedule}", schedule, lam, values, np.diff(values, axis=1) > 0)


def plane():
    grid = np.linspace(-1.0, 2.0, 7)
    trace = np.stack([np.add.outer(grid**2, grid**2) * scale for scale in (1.0, 0.5, 0.1)])
    corners, images = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.8]]), np.linspace(0, 1, 12).reshape(3, 4)
    thresholds = {"VP": np.array([1.0, 1.0, 1.0]), "FlowMatching": np.array([-1.0, 100.0, 0.25])}
    return Plane(grid, grid, corners, images, np.array([0.0, 0.5, 1.0]), trace, thresholds, 4)


def recall(k=3):
    starts, ends = np.full((k, 4), 2.0), np.linspace(0, 1, 4 * k).reshape(k, 4)
    return Recall("probability flow, VP, Tsit5", starts, ends, ends + 0.5, np.linspace(1.0, 1.5, k))


def audit(**changes):
    figures = Figures([curve(), curve("free")], plane(), [recall()], (2, 2))
    claims = [
        Claim("D4", "V falls & never rises", AGREES, "0 rises"),
        Claim("D7", "DDIM <never> rises", AGREES, "0 runs"),
    ]
    rows = [*diffusion_rows(), memory_row(), memory_row(HOSTILE, **broken())]
    environment = {"data": {"name": "digits", "shape": [10, 4]}, "packages": {"jax": "0.1"}, "quick": False, "seed": 3}
    return dataclasses.replace(Audit(rows, environment, claims, figures), **changes)


BARE = Figures([], None, [], None)


def written(found, folder):
    path = folder / "report.html"
    write_html(found, path)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return written(audit(), tmp_path_factory.mktemp("report"))


def test_hostile_names_stay_text(page):
    assert not page.all("script")
    assert HOSTILE in page.text
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    drawings = page.drawings()
    assert not any("<script" in drawing for drawing in drawings)
    assert any("&lt;script&gt;alert('$x^$')" in drawing for drawing in drawings), "a label lost its dollar signs"


def test_the_policy_allows_only_this_style_and_inline_images(page):
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert not any("style" in attrs for _, attrs in page.tags), "the policy drops inline styles"
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in page.all("img"))
    assert not [attrs for _, attrs in page.tags if str(attrs.get("href", "#"))[0] != "#"]


def test_every_image_says_what_it_shows(page):
    images = page.all("img")
    assert len(images) == 5 + 1 + 2 + 2 + 2 + 1
    assert all(len(image["alt"]) > 30 for image in images)
    assert any(f"{int(curve().rising.sum())} of 40 steps rise" in image["alt"] for image in images)


def test_structure(page):
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert all(attrs["scope"] in ("row", "col") for attrs in page.all("th"))
    assert len(page.all("figure")) == len(page.all("figcaption"))
    anchors = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {link["href"][1:] for link in page.all("a")} <= anchors


def test_the_same_audit_gives_the_same_bytes(page, tmp_path):
    assert written(audit(), tmp_path).source == page.source


def test_tables_hold_the_numbers(page):
    found = audit()
    cells = [line for table in page.table("system", "run", "verdict") for line in table]
    assert len(cells) == len(found.rows)
    density = next(line for line in cells if line[:2] == ["probability_flow/VP", "Tsit5, adaptive"])
    assert density[2:7] == ["broken", "3", "38 %", "1", "−1.25"]
    rates, bars = page.table("run", "energy", *PARTS)
    largest = chosen_rows(found.rows, "pathwise")
    assert len(rates) == 4
    assert [line[-2] for line in bars] == [f"{one['largest_rise']:.4g}" for one in largest]
    curves = page.table("λ", "trajectory 1")
    assert [float(line[0].replace("−", "-")) for line in curves[0]][::8] == [-3.0, 3.0]
    values = [float(line[2].replace("−", "-")) for line in curves[0]]
    assert values[0] == pytest.approx(50 * np.cos(-3.0), rel=1e-3)
    rising = [line[-1].split(" of ") for line in curves[0][:-1]]
    assert sum(int(part[0]) for part in rising) == int(curve().rising.sum())
    assert sum(int(part[1]) for part in rising) == curve().rising.size
    (maps,) = page.table("schedule", "s = 1: D·c")
    assert maps[0][1:3] == ["1", f"{100 * np.mean(plane().trace[0] > 1):.0f} %"]
    assert maps[1][1:5] == ["−1", "100 %", "100", "0 %"]
    (distances,) = page.table("run", "distance to the nearest pattern")
    assert [line[1] for line in distances] == ["1", "1.25", "1.5"]


def test_parts_sum_to_the_change():
    for one in [*chosen_rows(audit().rows, "rate"), *chosen_rows(audit().rows, "pathwise")]:
        assert sum(one["attribution"].values()) == pytest.approx(one["largest_rise"])


def test_bars_take_the_largest_rise_of_each_energy():
    rows = diffusion_rows()
    chosen = chosen_rows(rows, "pathwise")
    assert [one["energy"] for one in chosen] == ["density", "density_canonical", "hopfield", "frozen"]
    steps = [one for one in rows if one["statement"] == "pathwise" and one["energy"] == "density"]
    assert chosen[0] is max(steps, key=lambda one: one["largest_rise"])
    assert not chosen_rows([memory_row(**(broken() | {"attribution": None}))], "pathwise")


def test_mean_rises_have_bars_of_their_own(tmp_path):
    mean = broken(system="mine:sde", dynamics="gradient", solver="EulerMaruyama", steps=10, energy="own")
    page = written(audit(rows=[row(**mean, statement="mean")], figures=BARE), tmp_path)
    assert "Parts of the largest mean steps" in page.text
    assert "Memories and systems of your own" in page.text
    (bars,) = page.table("run", "energy", *PARTS)
    assert [line[0] for line in bars] == ["mine:sde, Euler–Maruyama, 10 steps, in the mean"]
    assert any("(mine:sde, Euler–Maruyama, 10 steps, in the mean)" in image["alt"] for image in page.all("img"))


def test_agreement_raises_no_alarm(page):
    assert not [attrs for _, attrs in page.tags if attrs.get("class") in ("alarm", "against")]
    assert "CONTRADICTED" not in page.text
    assert "2 of 2 claims" in page.text


def test_a_contradicted_claim_is_loud(tmp_path):
    claims = [
        Claim("D2", "it rises", NOT_EXERCISED, "0 of 9 rise"),
        Claim("D4", "V falls", AGREES, "0 rises"),
        Claim("D7", "DDIM never rises", CONTRADICTED, "5 rises in 6 runs"),
    ]
    page = written(audit(rows=[memory_row()], claims=claims, figures=BARE), tmp_path)
    assert "The numbers contradict 1 claim of the theory: D7." in page.text
    (table,) = page.table("claim", "statement")
    assert table[0] == ["D7", "DDIM never rises", "CONTRADICTED", "5 rises in 6 runs"]
    assert [line[2] for line in table[1:]] == ["not exercised", "agrees"]
    assert "1 of 3 claims of the theory agree with these numbers, and 1 met nothing that could decide." in page.text
    classes = [attrs.get("class") for _, attrs in page.tags]
    assert classes.count("alarm") == classes.count("against") == 1


def test_failed_rows_are_listed_with_their_reason(tmp_path):
    failed = memory_row("mine:memory", verdict="failed", reason="2 of 8 solves failed")
    page = written(audit(rows=[memory_row(), failed], figures=BARE), tmp_path)
    (table,) = page.table("system", "run", "energy", "reason")
    assert table == [["mine:memory", "Tsit5, adaptive", "own energy", "2 of 8 solves failed"]]
    assert "1 row failed" in page.text
    assert ["failed", "1"] in [line[:2] for line in page.table("verdict", "rows")[0]]


def test_without_images_and_maps(tmp_path):
    figures = Figures([curve()], None, [recall()], None)
    page = written(audit(rows=[memory_row()], figures=figures), tmp_path)
    assert "no image shape" in page.text
    assert "There is no map" in page.text
    assert len(page.table("run", "distance to the nearest pattern")) == 1


def test_memories_only(tmp_path):
    rows = [memory_row(), memory_row("dense_memory"), memory_row("a.b:c", verdict="undecided", reason="open")]
    page = written(audit(rows=rows, claims=[], figures=BARE), tmp_path)
    assert len(page.all("img")) == 1
    assert "No claim was tested" in page.text
    assert "No rise has its parts recorded" in page.text


def test_nothing_at_all(tmp_path):
    page = written(Audit([], {}, [], BARE), tmp_path)
    assert not page.all("img")
    assert "The audit has no rows." in page.text


def test_undefined_numbers_are_drawn_and_named(tmp_path):
    values = curve().values.copy()
    values[0, 5:] = np.nan
    values[1, 0] = np.inf
    hollow = dataclasses.replace(curve(), values=values)
    empty = dataclasses.replace(curve(), values=np.full_like(values, np.nan), rising=np.zeros((2, 20), bool))
    page = written(audit(rows=[], figures=Figures([hollow, empty], None, [], None)), tmp_path)
    assert "undefined" in {cell for line in page.table("λ", "trajectory 1")[0] for cell in line}


def test_an_old_report_survives_a_failed_write(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(0o640)

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            write_html(audit(rows=[], figures=BARE), path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]
    write_html(audit(rows=[], figures=BARE), path)
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["report.html"]
