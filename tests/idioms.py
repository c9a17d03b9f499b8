"""What the `Builder` rewrites, and near misses, each as ``(b, z, y) -> line`` of two lines of reals."""


def _shifted(b, z, y, level="most"):
    n = b.length(z)
    return b.apply("sub", z, b.spread(b.run(level, z, n), n))


def _share(b, z, y):
    e = b.apply("exp", z)
    return b.apply("div", e, b.spread(b.run("sum", e, b.length(z)), b.length(z)))


def _expectation(b, z, y):
    e, n = b.apply("exp", z), b.length(z)
    return b.apply(
        "div", b.run("sum", b.apply("mul", e, b.spread(y, n) if b.length(y) < n else y), n), b.run("sum", e, n)
    )


def _scaled_share(b, z, y):
    e, n = b.apply("exp", z), b.length(z)
    top = y if b.length(y) == n else b.spread(b.take([y], [0]), n)
    return b.apply("mul", b.apply("div", top, b.spread(b.run("sum", e, n), n)), e)


def _dotted(b, z, y):
    e, n = b.apply("exp", z), b.length(z)
    y = y if b.length(y) == n else b.spread(b.take([y], [0]), n)
    return b.apply("div", b.dot(e, y, (1, 1, n, 1)), b.run("sum", e, n))


def _log_sum(b, z, y):
    return b.apply("log", b.run("sum", b.apply("exp", z), b.length(z)))


def _soft_pair(b, z, y):
    gap = b.apply("neg", b.apply("abs", b.apply("sub", z, y)))
    return b.apply("add", b.apply("max", z, y), b.apply("log1p", b.apply("exp", gap)))


def _normalised(b, z, y):
    n = b.length(z)
    return b.apply("exp", b.apply("sub", z, b.spread(b.run("lse", z, n), n)))


def _above(b, z):
    return b.apply("sub", z, b.spread(b.run("lse", z, b.length(z)), b.length(z)))


def _back(b, z, y):
    return b.apply("add", _shifted(b, z, y), b.spread(b.run("most", z, b.length(z)), b.length(z)))


def _one(b, value):
    return b.const([value])


IDIOMS = {
    "log of a sum": _log_sum, "softmax": _share, "softmax, scaled": _scaled_share, "mean": _expectation,
    "mean by a product": _dotted, "normalised": _normalised, "log-add-exp": _soft_pair,
    "softmax, shifted": lambda b, z, y: _share(b, _shifted(b, z, y), y),
    "log of a sum, shifted": lambda b, z, y: _log_sum(b, _shifted(b, z, y), y),
    "lse, shifted": lambda b, z, y: b.run("lse", _shifted(b, z, y), b.length(z)),
    "lse, shifted and back": lambda b, z, y: b.apply(
        "add", b.run("lse", _shifted(b, z, y), b.length(z)), b.run("most", z, b.length(z))
    ),
    "softmax over part of what is shifted": lambda b, z, y: b.run("softmax", b.take([_shifted(b, z, y)], [0]), 1),
    "shift and back": _back, "never above 0": lambda b, z, y: b.apply("max", _above(b, z), _one(b, 0.0)),
    "never above 0, kept": lambda b, z, y: b.apply("min", _one(b, 0.0), _above(b, z)),
    "minus minus": lambda b, z, y: b.apply("neg", b.apply("neg", z)),
    "size of a square": lambda b, z, y: b.apply("abs", b.powi(z, 2)),
    "size of an exponential": lambda b, z, y: b.apply("abs", b.apply("exp", z)),
    "root of a square": lambda b, z, y: b.apply("sqrt", b.powi(z, 2)),
    "twice the same": lambda b, z, y: b.apply("max", z, z), "less itself": lambda b, z, y: b.apply("sub", z, z),
    "by itself": lambda b, z, y: b.apply("mul", z, z), "cube": lambda b, z, y: b.apply("mul", b.powi(z, 2), z),
    "power of a power": lambda b, z, y: b.powi(b.powi(z, 3), 2),
    "inverse power of a power": lambda b, z, y: b.powi(b.powi(z, -2), 2),
    "inverse of the inverse": lambda b, z, y: b.powi(b.powi(z, -1), -1),
    "plus 1": lambda b, z, y: b.apply("add", z, _one(b, 1.0)),
    "plus 0": lambda b, z, y: b.apply("add", _one(b, 0.0), z),
    "less 0": lambda b, z, y: b.apply("sub", z, _one(b, 0.0)),
    "0 less": lambda b, z, y: b.apply("sub", _one(b, 0.0), z),
    "less 1": lambda b, z, y: b.apply("sub", z, _one(b, 1.0)),
    "times 0": lambda b, z, y: b.apply("mul", z, _one(b, 0.0)),
    "times 1": lambda b, z, y: b.apply("mul", _one(b, 1.0), z),
    "times -1": lambda b, z, y: b.apply("mul", z, _one(b, -1.0)),
    "over 1": lambda b, z, y: b.apply("div", z, _one(b, 1.0)),
    "1 over": lambda b, z, y: b.apply("div", _one(b, 1.0), z),
    "sum of zeros": lambda b, z, y: b.apply("add", z, b.run("sum", b.const([0.0, 0.0]), 2)),
    "product with zeros": lambda b, z, y: b.dot(z, b.const([0.0] * b.length(z)), (1, 1, b.length(z), 1)),
    "the same either way": lambda b, z, y: b.apply("select", b.apply("lt", z, y), y, y),
    "is it the larger": lambda b, z, y: b.apply("select", b.apply("eq", z, b.apply("max", z, y)), z, y),
    "is it the smaller": lambda b, z, y: b.apply("select", b.apply("eq", b.apply("min", z, y), y), z, y),
    "equal to itself": lambda b, z, y: b.apply("select", b.apply("eq", z, z), y, _one(b, 2.0)),
    "known branch": lambda b, z, y: b.apply("select", b.const([True]), z, b.apply("log", y)),
    "other known branch": lambda b, z, y: b.apply("select", b.const([False]), b.apply("log", y), z),
    "branches known by entry": lambda b, z, y: b.apply(
        "select", b.const([place % 2 == 0 for place in range(max(b.length(z), b.length(y)))]), z, y
    ),
    "guarded root": lambda b, z, y: b.apply(
        "sqrt", b.apply("select", b.apply("lt", _one(b, 0.0), z), z, _one(b, 1.0))
    ),
    "softmax of one": lambda b, z, y: b.run("softmax", z, 1), "sum of one": lambda b, z, y: b.run("sum", z, 1),
}  # fmt: skip
