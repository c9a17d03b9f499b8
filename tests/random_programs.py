"""Random straight lines with boxes and points, and how often what a domain says of a box is not so at a point."""

import contextlib
import dataclasses
import math

import numpy as np
from flint import arb, ctx

import dynamem.programs
from dynamem.programs import RUNS, TRUTH, Node, Program
from dynamem.programs._build import Builder
from tests.idioms import IDIOMS
from tests.mutants import fast


SPECIAL = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-300, 1e300, -1e300, 0.5 * math.pi, math.pi, 709.0, -745.0, 1e-8]
CONSTANTS = [0.0, 1.0, -1.0, 2.0, 0.5, -3.0, 0.1, 5e-324, 1e300, 1e-300, 2.0**53 + 2.0]
POWERS = [-3, -2, -1, 0, 1, 2, 3, 4, 7]
OPERATIONS = {op: count for op, count in dynamem.programs.OPERATIONS.items() if op != "gibbs"}
"""All but one, which has its own shapes and its own tests."""
REFERENCE_BITS = 200
SIZE = 3
REALS = sorted(set(OPERATIONS) - TRUTH - {"input", "const", "take", "select"})


def boxes(random, count, entries):
    """Boxes of all widths and places, special points among their ends."""
    scale = 10.0 ** random.uniform(-3, 1.5, (count, entries))
    middle = random.normal(size=(count, entries)) * scale
    middle = np.where(random.uniform(size=middle.shape) < 0.15, random.choice(SPECIAL, middle.shape), middle)
    radius = np.abs(middle) * 10.0 ** random.uniform(-16, 0.7, middle.shape) * (random.uniform(size=middle.shape) < 0.8)
    with np.errstate(over="ignore"):
        return np.clip(middle - radius, -1e300, 1e300), np.clip(middle + radius, -1e300, 1e300)


def points_of(random, lo, hi):
    """A point of each box, often a corner."""
    share = random.choice([0.0, 0.5, 1.0, -1.0], lo.shape)
    share = np.where(share < 0, random.uniform(size=lo.shape), share)
    return np.clip(lo + share * (hi - lo), lo, hi)


def node_of(op, random):
    """A line of one or more entries of result, of arguments of `SIZE` entries."""
    if op == "powi":
        return Node(op, (0,), SIZE, (int(random.choice(POWERS)),))
    if op in RUNS:
        return Node(op, (0,), SIZE if op in ("sort", "softmax") else 1, (SIZE,))
    if op == "dot":
        return Node(op, (0, 1), 1, (1, 1, SIZE, 1))
    return Node(op, tuple(range(OPERATIONS[op])), SIZE)


def one_line(op, random):
    """The program of one operation."""
    node = node_of(op, random)
    inputs = [Node("input", (), SIZE) for _ in node.args]
    return Program((*inputs, node), tuple(range(len(inputs))), (len(inputs),))


@dataclasses.dataclass
class Plain:
    """Takes the calls that a `Builder` takes and writes each down as it stands: no line is rewritten or shared."""

    nodes: list = dataclasses.field(default_factory=list)

    def put(self, op, args, length, data=()):
        self.nodes.append(Node(op, tuple(args), length, data))
        return len(self.nodes) - 1

    def input(self, length):
        return self.put("input", (), length)

    def const(self, values):
        return self.put("const", (), len(values), np.asarray(values))

    def take(self, args, index):
        return self.put("take", args, len(index), np.asarray(index))

    def apply(self, op, *args):
        return self.put(op, args, max(self.nodes[arg].length for arg in args))

    def powi(self, arg, power):
        return self.put("powi", (arg,), self.nodes[arg].length, (power,))

    def run(self, op, arg, size):
        length = self.nodes[arg].length
        return self.put(op, (arg,), length if op in ("sort", "softmax") else length // size, (size,))

    def dot(self, left, right, shape):
        return self.put("dot", (left, right), shape[0] * shape[1] * shape[3], shape)

    def finish(self, inputs, outputs):
        return Program(tuple(self.nodes), tuple(inputs), tuple(outputs))


class Both:
    """One recipe written twice: by a `Builder`, with its rewritings, and plainly."""

    def __init__(self, builder=Builder):
        self.plain, self.builder = Plain(), builder()
        self.lines, self.inputs = {}, []

    def _kept(self, plain, built):
        self.lines[plain] = built
        return plain

    def input(self, length):
        self.inputs.append(self._kept(self.plain.input(length), self.builder.lines.input(length)))
        return self.inputs[-1]

    def const(self, values):
        return self._kept(self.plain.const(values), self.builder.const(values))

    def take(self, args, index):
        built = self.builder.take([self.lines[arg] for arg in args], np.asarray(index))
        return self._kept(self.plain.take(args, index), built)

    def apply(self, op, *args):
        return self._kept(self.plain.apply(op, *args), self.builder.apply(op, *(self.lines[arg] for arg in args)))

    def powi(self, arg, power):
        return self._kept(self.plain.powi(arg, power), self.builder.powi(self.lines[arg], power))

    def run(self, op, arg, size):
        return self._kept(self.plain.run(op, arg, size), self.builder.run(op, self.lines[arg], size))

    def dot(self, left, right, shape):
        built = self.builder.dot(self.lines[left], self.lines[right], shape)
        return self._kept(self.plain.dot(left, right, shape), built)

    def length(self, line):
        return self.plain.nodes[line].length

    def spread(self, line, size):
        """Each entry of a line ``size`` times."""
        return self.take([line], np.repeat(np.arange(self.length(line)), size))

    def finish(self, output):
        """The plain program and the rewritten one."""
        built = self.builder.lines.finish([self.lines[line] for line in self.inputs], [self.lines[output]])
        return self.plain.finish(self.inputs, [output]), built


def idiom(name, length=2, builder=Builder, before=None):
    """The two programs of one idiom; ``before`` is an operation that its first argument goes through."""
    both = Both(builder)
    z, y = both.input(length), both.input(length)
    z = z if before is None else both.apply(before, z)
    return both.finish(IDIOMS[name](both, z, y))


def straight_line(random, steps, builder=Builder):
    """Plain and rewritten form of a random line of ``steps`` operations."""
    both, size = Both(builder), int(random.integers(1, 4))
    reals, facts = [both.input(size), both.input(int(random.choice([1, size])))], []
    for _ in range(steps):
        if random.uniform() < 0.15:
            reals.append(IDIOMS[random.choice(list(IDIOMS))](both, *_lines(random, both, reals)))
        else:
            _step(random, both, reals, facts)
    return both.finish(reals[-1])


def _lines(random, both, reals):
    """Two lines of reals that go together, the first often the last."""
    z = reals[-1] if random.uniform() < 0.7 else reals[random.integers(len(reals))]
    fits = [line for line in reals if both.length(line) in (1, both.length(z)) or both.length(z) == 1]
    return z, fits[random.integers(len(fits))]


def _step(random, both, reals, facts):
    op = random.choice([name for name in OPERATIONS if name not in ("input", "and", "or", "not", "select")])
    z, y = _lines(random, both, reals)
    length = both.length(z)
    if op in TRUTH:
        _branch(random, both, op, (z, y), reals, facts)
    elif op == "const":
        reals.append(both.apply(random.choice(["add", "mul"]), z, both.const([random.choice(CONSTANTS)])))
    elif op == "take":
        total = length + both.length(y)
        reals.append(both.take([z, y], random.integers(total, size=random.integers(1, 4))))
    elif op == "powi":
        reals.append(both.powi(z, int(random.choice(POWERS))))
    elif op == "dot":
        shape = (1, 1, length, 1) if length == both.length(y) else (1, length, 1, both.length(y))
        shape = shape if 1 in (length, both.length(y)) or length == both.length(y) else (1, 1, 1, 1)
        reals.append(both.dot(z, y, shape))
    elif op in RUNS:
        reals.append(both.run(op, z, int(random.choice([1, length]))))
    else:
        reals.append(both.apply(op, *(z, y)[: OPERATIONS[op]]))


def _branch(random, both, op, pair, reals, facts):
    facts.append(both.apply(op, *pair))
    other = next(fact for fact in facts if both.length(fact) in (1, both.length(facts[-1])))
    if random.uniform() < 0.5:
        facts.append(both.apply(random.choice(["and", "or"]), facts[-1], other))
    if random.uniform() < 0.3:
        facts.append(both.apply("not", facts[-1]))
    z, y = _lines(random, both, reals)
    if {both.length(facts[-1]), both.length(z), both.length(y)} <= {1, max(map(both.length, (z, y)))}:
        reals.append(both.apply("select", facts[-1], z, y))


@dataclasses.dataclass
class Tally:
    """Entries compared, and where (row of the boxes, entry) a domain was wrong."""

    compared: int = 0
    wrong: list = dataclasses.field(default_factory=list)

    def __add__(self, other):
        return Tally(self.compared + other.compared, self.wrong + other.wrong)


def mark_of(entry):
    """``"OPEN"`` or ``"NEVER"`` where Arb gives no bounds, None where it does."""
    return None if isinstance(entry, tuple) else entry.name


def pair_of(lo, hi):
    """Exact ends, one number where they are equal."""
    low = arb(lo)
    return low, low if lo == hi else arb(hi)


@contextlib.contextmanager
def precision(bits):
    """Arb at so many bits."""
    before, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = before


def sampled(random, program, count):
    """Boxes and points for the inputs of a program."""
    ends = [boxes(random, count, program.nodes[line].length) for line in program.inputs]
    return ends, [points_of(random, lo, hi) for lo, hi in ends]


def at_box(program, ends, room=None):
    """The entries of the output by Arb over one box; each input is (lo, hi) of shape (n,)."""
    room = fast() if room is None else room
    box = [list(map(pair_of, lo.tolist(), hi.tolist())) for lo, hi in ends]
    return room.evaluate(program, room.BALL, box)[0]


def at_points(program, points):
    """For each point the entries of the output, at many bits."""
    with precision(REFERENCE_BITS):
        return [at_box(program, [(point[row], point[row]) for point in points]) for row in range(len(points[0]))]


def interval_failures(program, ends, exact, room=None):
    """Points that the enclosure of their box does not hold, or whose definedness its marks belie."""
    room = fast() if room is None else room
    with np.errstate(all="ignore"):
        (found,) = room.evaluate(program, room.INTERVAL, [room.Interval(lo, hi.copy()) for lo, hi in ends])
    shape = (len(ends[0][0]), program.nodes[program.outputs[0]].length)
    fine = np.broadcast_to(True if found.ok is None else found.ok, shape).tolist()
    never = np.broadcast_to(False if found.bad is None else found.bad, shape).tolist()
    lows, highs = (np.broadcast_to(end, shape).tolist() for end in (found.lo, found.hi))
    tally = Tally()
    for row, entries in enumerate(exact):
        for place, entry in enumerate(entries):
            if mark_of(entry) is None:
                lo, hi = lows[row][place], highs[row][place]
                tally.compared += 1
                bad = never[row][place] or not (lo <= hi) or arb(lo) > entry[1] or arb(hi) < entry[0]
            else:
                bad = fine[row][place] and mark_of(entry) == "NEVER"
            if bad:
                tally.wrong.append((row, place))
    return tally


def ball_failures(program, ends, exact, room=None, bits=53):
    """The same for Arb at few bits."""
    tally = Tally()
    with precision(bits):
        for row, entries in enumerate(exact):
            found = at_box(program, [(lo[row], hi[row]) for lo, hi in ends], room)
            for place, (bound, entry) in enumerate(zip(found, entries, strict=True)):
                if mark_of(entry) is not None:
                    bad = mark_of(entry) == "NEVER" and mark_of(bound) is None
                elif mark_of(bound) is not None:
                    bad = mark_of(bound) == "NEVER"
                else:
                    tally.compared += 1
                    exact_ends = bound[0].is_exact() and bound[1].is_exact()
                    bad = not exact_ends or bound[0] > entry[1] or bound[1] < entry[0]
                if bad:
                    tally.wrong.append((row, place))
    return tally
