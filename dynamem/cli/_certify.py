"""`dynamem certify`: the sign of an energy's rate on a whole region, with a certificate that replays."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from .._errors import InputError
from ._expect import RUNGS, exit_code


SCHEMA = "dynamem.certify/1"
CLAIMS = ("nonincrease", "strict_decrease", "positive")
INTERRUPTED = 130

DESCRIPTION = """\
Decide whether an energy falls all over a region: certified by outward rounded intervals, proved by algebra, broken with
a witness, failed where the question has no answer, or undecided with what is left."""

EPILOG = """\
exit codes: 0 the run finished; with --expect 4 failed, 1 broken or on a weaker rung, 3 undecided, 0 otherwise;
2 usage or input error; 130 after Ctrl-C (what is decided by then is printed).

examples:
  dynamem certify my_models:memory --box -1 1 -1 1
  dynamem certify probability_flow/VP --plane 0 1 2 --box 0 3 0 2 --lam 0 0.5 --energy free
"""


def register(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "certify",
        help="decide the sign of a rate on a whole region",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser._negative_number_matcher = re.compile(r"-[\d.]")  # so that -1,1 and -1e-3 are values and no options
    parser.set_defaults(run=run)
    parser.add_argument("system", metavar="SYSTEM", help="module:attribute for a dynamem.System of your own, or a name "
                        "from `dynamem list`")  # fmt: skip
    where = parser.add_argument_group("region")
    where.add_argument("--box", metavar="LO HI", nargs="+", action="extend", required=True, type=_numbers,
                       help="a pair for each coordinate of the state, or of the plane")  # fmt: skip
    where.add_argument("--lam", "--time", metavar="T", nargs="+", type=_numbers, dest="lam",
                       help="one time or an interval LO HI, on the energy's clock")  # fmt: skip
    where.add_argument("--plane", metavar="I", nargs="+", type=int, help="states on the line, plane or space through "
                       "2, 3 or 4 stored patterns (or initial states), counted from 0: coordinates are distances from "
                       "the first along orthonormal directions")  # fmt: skip
    what = parser.add_argument_group("question")
    what.add_argument("--claim", metavar="CLAIM", default="nonincrease",
                      help=f"{', '.join(CLAIMS)} or rate:R (default: nonincrease)")  # fmt: skip
    what.add_argument("--energy", metavar="NAME", help="of a path, from `dynamem list` (default: density_canonical)")
    what.add_argument("--data", metavar="FILE", help="patterns for built-in names (default: the scikit-learn digits)")
    what.add_argument("--budget-s", metavar="S", type=float, default=20.0, help="seconds (default: 20)")
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write the verdict for machines")
    output.add_argument("--html", metavar="FILE", help="write a page with a map of where the energy certainly falls "
                        "and rises (regions of up to 3 coordinates; takes --budget-s once more)")  # fmt: skip
    output.add_argument("--certificate", metavar="FILE", help="write the certificate, where there is one")
    output.add_argument("--expect", choices=RUNGS, help="exit 4, 1 or 3 unless the verdict is on this rung or above")


def _numbers(text: str) -> list[float]:
    """Numbers with spaces, commas, colons or brackets around them."""
    words = [word for word in re.split(r"[\s,:;()\[\]]+", text) if word]
    if not words:
        msg = f"{text!r} is no number"
        raise argparse.ArgumentTypeError(msg)
    try:
        return [float(word) for word in words]
    except ValueError:
        msg = f"{text!r} is no number"
        raise argparse.ArgumentTypeError(msg) from None


def run(args: argparse.Namespace) -> int:
    """Run the command; what can be refused is refused before anything is computed."""
    from .._output import check_all
    from ._messages import complain, say

    box, claim = _box(args), _claim(args.claim)
    if not 0 < args.budget_s < float("inf"):
        msg = f"budget_s={args.budget_s!r}: must be a positive number of seconds"
        raise InputError(msg)
    outputs = {"json": args.json, "html": args.html, "certificate": args.certificate}
    paths = check_all(outputs, {"data": args.data})
    asked, affine = _asked(args)
    _require_rows(box, asked, affine)
    from ..rigour import certify

    verdict = certify(asked.energy, asked.flow, box, claim=claim, affine=affine, budget_s=args.budget_s)
    say(_table(asked.title, verdict))
    _write(paths, args, asked.title, verdict)
    if "html" in paths:
        from ._map import draw

        corners = {} if affine is None else dict(zip(map(str, args.plane), asked.points[args.plane], strict=True))
        draw(paths["html"], asked, box, affine, corners, _rows(asked.title, verdict), args.budget_s)
    if "certificate" in paths and verdict.evidence.get("certificate") is None:
        why = verdict.evidence.get("no_certificate") or f"the verdict is {verdict.status}"
        complain(f"dynamem: note: certificate={args.certificate!r} is not written: {why}")
    if verdict.evidence.get("interrupted"):
        return INTERRUPTED
    return exit_code([verdict.status], args.expect)


def _box(args: argparse.Namespace) -> list[tuple[float, float]]:
    """Rows of the box, time last."""
    flat = [number for part in args.box for number in part]
    if len(flat) % 2:
        msg = f"box={flat!r}: {len(flat)} numbers are no pairs LO HI"
        raise InputError(msg)
    rows = list(zip(flat[::2], flat[1::2], strict=True))
    if args.lam is not None:
        times = [number for part in args.lam for number in part]
        if len(times) > 2:
            msg = f"lam={times!r}: give one time, or an interval LO HI"
            raise InputError(msg)
        rows.append((times[0], times[-1]))
    return rows


def _claim(text: str) -> str | tuple[str, float]:
    if text in CLAIMS:
        return text
    kind, _, rate = text.partition(":")
    try:
        if kind == "rate":
            return "rate", float(rate)
    except ValueError:
        pass
    msg = f"claim={text!r}: choose {', '.join(CLAIMS)} or rate:R with a number R"
    raise InputError(msg)


def _asked(args: argparse.Namespace) -> tuple[Any, Any]:
    """What is asked about, and the slice."""
    from ..catalog._names import system_names
    from ._cache import prepare_jax
    from ._data import load
    from ._messages import note
    from ._systems import check_names, check_own, is_own

    check_names([args.system], system_names())
    own = is_own(args.system)
    data = None if own else load(args.data)
    notes = [*(data.notes if data is not None else ()), *prepare_jax(raising=own)]
    from .. import catalog
    from ..rigour import plane

    for text in (*notes, *check_own([args.system], catalog.load_system)):
        note(text)
    patterns = None if data is None else catalog.DataSet(name=data.name, patterns=data.patterns)
    asked = catalog.subject(args.system, patterns, args.energy)
    if args.plane is None:
        return asked, None
    count = len(asked.points)
    if not all(0 <= place < count for place in args.plane):
        msg = f"plane={args.plane!r}: there are {count} points, counted from 0"
        raise InputError(msg)
    return asked, plane(asked.points[args.plane])[:2]


def _require_rows(box: list[tuple[float, float]], asked: Any, affine: Any) -> None:
    """A pair for each coordinate and perhaps one for time: code may take states of any size, the system has one."""
    size = asked.points.shape[1] if affine is None else affine[1].shape[1]
    if len(box) not in (size, size + 1):
        msg = f"box has {len(box)} pairs, --lam included: {size} coordinates need {size}, or {size + 1} with time"
        raise InputError(msg)


def _table(title: str, verdict: Any) -> str:
    """The verdict for people."""
    import textwrap

    fold = {"width": 100, "subsequent_indent": " " * 10}
    rows = _rows(title, verdict)
    return "\n".join(textwrap.fill(f"{name:<10}{text}", **fold) for name, text in rows.items()) + "\n"


def _rows(title: str, verdict: Any) -> dict[str, str]:
    """The verdict, name by name."""
    evidence = verdict.evidence
    rows = {"question": title, "region": verdict.region, "verdict": verdict.status, "reason": verdict.reason}
    if "point" in evidence:
        rows["point"] = ", ".join(f"{value!r}" for value in evidence["point"])
    if verdict.witness is not None:
        rows["change"] = f"{verdict.witness.change!r} ({verdict.witness.kind})"
    if "boxes" in evidence:
        rows["boxes"] = f"{evidence['boxes']} bounded, {evidence['open_boxes']} open, {evidence['seconds']:.1f} s"
    return rows


def document(args: argparse.Namespace, title: str, verdict: Any) -> dict[str, Any]:
    """The JSON document; the certificate has a file of its own."""
    from ._json import plain

    witness = verdict.witness
    told = {
        "schema": SCHEMA, "system": args.system, "question": title, "claim": args.claim,
        "verdict": verdict.status, "reason": verdict.reason, "region": verdict.region, "tolerance": verdict.tolerance,
        "witness": None if witness is None else {
            "kind": witness.kind, "t0": witness.t0, "x0": witness.x0, "t1": witness.t1, "x1": witness.x1,
            "change": witness.change,
        },
        "evidence": {name: value for name, value in verdict.evidence.items() if name != "certificate"},
    }  # fmt: skip
    return plain(told)


def _write(paths: dict[str, Path], args: argparse.Namespace, title: str, verdict: Any) -> None:
    from .._output import staged

    texts = {"json": json.dumps(document(args, title, verdict), allow_nan=False) + "\n"}
    if verdict.evidence.get("certificate") is not None:
        texts["certificate"] = json.dumps(verdict.evidence["certificate"], allow_nan=False) + "\n"
    for name, text in texts.items():
        if name in paths:
            with staged(name, paths[name]) as draft:
                draft.write_text(text, encoding="utf-8")
