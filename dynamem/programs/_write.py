r"""Writing polynomials as lines: by what depends on an input, with what does not as coefficients.

    sum_k c_k(fixed) x^k  ->  x_j (... + x_i (...)) + C x,     the power that most terms have taken out first,

as an interval is narrower the fewer times an uncertain number is in it. Terms whose coefficients all but cancel are
not worth it and go into the last product of matrices, together with what has nothing in common.
"""

from collections import Counter

import numpy as np

from ._build import Builder
from ._interval import Truth
from ._polynomial import Atom, Monomial, Polynomials


NEGLIGIBLE = 1e-9
"""Coefficients of this relative size, or smaller, have all but cancelled."""
MOST_TILTED = 4
"""Weights are tilted by at most so many inputs; with more of them it costs more than it gains."""


class Writer:
    """Adds lines to a builder of its own."""

    def __init__(self) -> None:
        self.b = Builder()
        self.nodes, self.is_fixed = self.b.lines.nodes, self.b.lines.fixed

    def fixed(self, p: Polynomials) -> bool:
        """Whether no atom depends on an input."""
        return all(self.is_fixed[line] for entry in p.entries for key in entry for (line, _), _ in key)

    def wide(self, line: int, length: int) -> int:
        """A line of ``length`` entries."""
        return line if self.nodes[line].length == length else self.b.spread(line, length)

    def written(self, p: Polynomials) -> int:
        """A line that computes polynomials."""
        terms = {key: self.wide(self._coefficient(group), len(p)) for key, group in self._groups(p).items()}
        sizes = {key: self._size(line) for key, line in terms.items()}
        least = NEGLIGIBLE * max(sizes.values(), default=0.0)
        small = {key: line for key, line in terms.items() if key and sizes[key] <= least}
        made = self._split({key: line for key, line in terms.items() if key not in small}, len(p))
        if small:
            rest = self._flat(small, len(p))
            made = rest if made is None else self.b.apply("add", made, rest)
        return self.wide(self.b.const([0.0]) if made is None else made, len(p))

    def _groups(self, p: Polynomials) -> dict[Monomial, dict[Monomial, np.ndarray]]:
        """Terms by their part that depends on an input, then by their part that does not."""
        groups: dict[Monomial, dict[Monomial, np.ndarray]] = {}
        for key, value in p.columns().items():
            variable = tuple(pair for pair in key if not self.is_fixed[pair[0][0]])
            groups.setdefault(variable, {})[tuple(pair for pair in key if self.is_fixed[pair[0][0]])] = value
        return groups

    def gibbs(self, p: Polynomials) -> int | None:
        """``softmax`` of polynomials ``g (K x + c)`` of few inputs, None where they are none."""
        groups = self._groups(p)
        inputs = {line for line, node in enumerate(self.nodes) if node.op == "input"}
        factors = [{pair for pair in key if pair[0][0] not in inputs} for key in groups]
        shared = tuple(sorted(set.intersection(*factors))) if factors else ()
        linear: dict[Monomial, int] = {}
        for key, group in groups.items():
            rest = tuple(pair for pair in key if pair not in shared)
            if len(rest) > 1 or any(line not in inputs or power != 1 for (line, _), power in rest):
                return None
            linear[rest] = self.wide(self._coefficient(group), len(p))
        offset = linear.pop((), None)
        if not 1 <= len(linear) <= MOST_TILTED or len(p) < 2:
            return None
        matrix, x = self._laid(list(linear.values())), self._entries([key[0][0] for key in linear])
        c = self.wide(self.b.const([0.0]), len(p)) if offset is None else offset
        g = self._monomials([shared]) if shared else self.b.const([1.0])
        return self.b.lines.emit("gibbs", (matrix, x, c, g), len(p), (len(p), len(linear)))

    def _coefficient(self, group: dict[Monomial, np.ndarray]) -> int:
        """What depends on no input."""
        made = None
        for key, value in group.items():
            part = self.b.const(value)
            part = self.b.apply("mul", part, self._monomials([key])) if key else part
            made = part if made is None else self.b.apply("add", made, part)
        assert made is not None
        return made

    def _size(self, line: int) -> float:
        value = self.b.lines.values.get(line)
        if value is None or isinstance(value, Truth):
            return np.inf
        return float(np.max(np.maximum(np.abs(value.lo), np.abs(value.hi))))

    def _split(self, terms: dict[Monomial, int], length: int) -> int | None:
        """What many terms share is taken out."""
        factor = self._frequent(terms)
        if factor is None:
            return self._flat(terms, length) if terms else None
        inside, rest = {}, {}
        for key, line in terms.items():
            powers = dict(key)
            if powers.pop(factor[0], None) == factor[1]:
                inside[tuple(sorted(powers.items()))] = line
            else:
                rest[key] = line
        within, other = self._split(inside, length), self._split(rest, length)
        assert within is not None
        made = self.b.apply("mul", self._monomials([(factor,)]), within)
        return made if other is None else self.b.apply("add", made, other)

    def _frequent(self, terms: dict[Monomial, int]) -> tuple[Atom, int] | None:
        """The power of an atom, no input, that is in most terms."""
        counts = Counter(pair for key in terms for pair in key if self.nodes[pair[0][0]].op != "input")
        best = counts.most_common(1)
        return best[0][0] if best and best[0][1] > 1 else None

    def _flat(self, terms: dict[Monomial, int], length: int) -> int:
        """Coefficients times monomials, as a product of matrices."""
        constant, keys = terms.get(()), sorted(key for key in terms if key)
        if not keys:
            assert constant is not None
            return constant
        vector, columns = self._monomials(keys), [terms[key] for key in keys]
        picks = self._picks(columns) if constant is None else None
        if picks is not None:
            return self.b.take([vector], picks)
        if len(keys) == 1:
            made = self.b.apply("mul", columns[0], vector)
        elif length == 1 and len(set(columns)) == 1:
            made = self.b.apply("mul", columns[0], self.b.run("sum", vector, len(keys)))
        else:
            made = self.b.dot(self._laid(columns), vector, (1, length, len(keys), 1))
        made = self.wide(made, length)
        return made if constant is None else self.b.apply("add", made, constant)

    def _laid(self, columns: list[int]) -> int:
        """Columns as a matrix, row by row."""
        once, length = list(dict.fromkeys(columns)), self.nodes[columns[0]].length
        starts = {line: place * length for place, line in enumerate(once)}
        return self.b.take(once, np.stack([starts[line] + np.arange(length) for line in columns], axis=1))

    def _picks(self, columns: list[int]) -> np.ndarray | None:
        """Which of the monomials each entry is, if each is one as it stands."""
        exact = [self.b.lines.exact(column) for column in columns]
        if any(column is None for column in exact):
            return None
        whole = np.stack([column for column in exact if column is not None])
        picked = np.all((whole == 0) | (whole == 1)) and np.all(np.sum(whole != 0, axis=0) == 1)
        return np.argmax(whole != 0, axis=0) if picked else None

    def _monomials(self, keys: list[Monomial]) -> int:
        """A line with these monomials as its entries."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, key in enumerate(keys):
            groups.setdefault(tuple(power for _, power in key), []).append(place)
        parts, order = [], []
        for powers, places in groups.items():
            made = self.b.const([1.0])
            for factor, power in enumerate(powers):
                here = self.b.powi(self._entries([keys[place][factor][0] for place in places]), power)
                made = here if not factor else self.b.apply("mul", made, here)
            parts.append(made)
            order += places
        return self.b.take(parts, np.argsort(order))

    def _entries(self, chosen: list[Atom]) -> int:
        lines = sorted({line for line, _ in chosen})
        starts = dict(zip(lines, np.cumsum([0, *(self.nodes[line].length for line in lines)]), strict=False))
        return self.b.take(lines, np.asarray([starts[line] + entry for line, entry in chosen]))
