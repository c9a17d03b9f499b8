"""The other functions of elements: circular ones, roots and powers, and those of several numbers."""

from collections.abc import Sequence

from flint import arb, fmpq

from ._facts import POSITIVE
from ._functions import MOST_POWER, Functions
from ._tower import Quotient, Range, TooHard, above, below, quotient_bounds


def pi(f: Functions) -> Quotient:
    """The number pi, a generator of its own."""
    bounds = Range(below(arb.pi()), above(arb.pi()), True)
    return f.tower.element(f.tower.generator("pi", (), "pi", lambda: bounds))


def turn(f: Functions, q: Quotient) -> fmpq | None:
    """``r`` if ``q = r pi``."""
    if q.zero:
        return fmpq(0)
    found = f.tower.known.get("pi()pi")
    ratio = f.tower.div(q, f.tower.element(found)) if found is not None else None
    return None if ratio is None else ratio.constant


def sin(f: Functions, q: Quotient) -> Quotient:
    """``sin(q)``."""
    return circle(f, q)[0]


def cos(f: Functions, q: Quotient) -> Quotient:
    """``cos(q)``."""
    return circle(f, q)[1]


def tan(f: Functions, q: Quotient) -> Quotient:
    """``tan(q)`` where the cosine is not 0."""
    s, c = circle(f, q)
    return f.divide(s, c)


def circle(f: Functions, q: Quotient) -> tuple[Quotient, Quotient]:
    """``(sin(q), cos(q))``."""
    t = f.tower
    exact = _exact_angle(f, turn(f, q))
    if exact is not None:
        return exact
    if not (f.split and q.d.is_one()):
        return _circle_of(f, q)
    made = (t.const(0), t.const(1))
    for powers, coefficient in q.n.to_dict().items():
        made = _sum_of_angles(f, made, _multiple(f, Quotient(t.ring.from_dict({powers: coefficient}), t.one)))
    return made


def _exact_angle(f: Functions, r: fmpq | None) -> tuple[Quotient, Quotient] | None:
    """At multiples of pi/4 and pi/6."""
    if r is None or (12 % int(r.q)):
        return None
    t, twelfths = f.tower, int((r * 12).p) % 24
    half = {0: 0, 2: fmpq(1, 4), 3: fmpq(1, 2), 4: fmpq(3, 4), 6: 1, 8: fmpq(3, 4), 9: fmpq(1, 2), 10: fmpq(1, 4)}

    def value(place: int) -> Quotient | None:
        square = half.get(place % 12)
        return None if square is None else t.scale(f.sqrt(t.const(square)), 1 if place % 24 < 12 else -1)

    s, c = value(twelfths), value(twelfths + 6)
    return None if s is None or c is None else (s, c)


def _sum_of_angles(
    f: Functions, a: tuple[Quotient, Quotient], b: tuple[Quotient, Quotient]
) -> tuple[Quotient, Quotient]:
    t = f.tower
    return t.add(t.mul(a[0], b[1]), t.mul(a[1], b[0])), t.sub(t.mul(a[1], b[1]), t.mul(a[0], b[0]))


def _multiple(f: Functions, q: Quotient) -> tuple[Quotient, Quotient]:
    """Of one term, by whole multiples of the least that has come up."""
    exact = _exact_angle(f, turn(f, q))
    if exact is not None:
        return exact
    factor, primitive = f.primitive(q)
    base = f.base("angle", primitive, factor)
    one, power = _circle_of(f, f.tower.scale(primitive, base)), int((factor / base).p)
    if power < 0:
        one, power = (f.tower.neg(one[0]), one[1]), -power
    made = one
    for _ in range(power - 1):
        made = _sum_of_angles(f, made, one)
    return made


def _circle_of(f: Functions, q: Quotient) -> tuple[Quotient, Quotient]:
    t, (side, a) = f.tower, f.signed(q)
    words, fresh = t.text(a), f"sin({a.key})" not in t.known
    s = t.element(t.generator("sin", (a,), f"sin({words})", lambda: _wave_range(f, a, fmpq(1, 2))))
    cosine = t.generator("cos", (a,), f"cos({words})", lambda: _wave_range(f, a, fmpq(0)))
    c = t.element(cosine)
    if fresh:
        t.relate(cosine, 2, t.sub(t.const(1), t.power(s, 2)))
        f.know.learn(t.sub(t.power(a, 2), t.power(s, 2)), f"|sin({words})| is at most its argument's size")
        half = t.scale(t.power(a, 2), fmpq(1, 2))
        f.know.learn(t.sub(t.add(half, c), t.const(1)), f"cos({words}) is at least 1 - half a square")
    return t.scale(s, side), c


def _wave_range(f: Functions, a: Quotient, top: fmpq) -> Range:
    """Of the cosine shifted so that its top is at ``top pi``."""
    lo, hi = quotient_bounds(f.tower, a)
    whole = Range(fmpq(-1), fmpq(1))
    if lo is None or hi is None or hi - lo > 6:
        return whole
    values = [(arb(end) - arb(top) * arb.pi()).cos() for end in (lo, hi)]
    turns = [(arb(end) / arb.pi() - arb(top)) / 2 for end in (lo, hi)]
    start, stop = (below(turns[0]), above(turns[1]))
    lows, highs = [below(value) for value in values], [above(value) for value in values]
    if start is None or stop is None or None in lows or None in highs:
        return whole
    peak = stop.floor() >= start.ceil()
    valley = (stop - fmpq(1, 2)).floor() >= (start - fmpq(1, 2)).ceil()
    low, high = min(end for end in lows if end is not None), max(end for end in highs if end is not None)
    return Range(fmpq(-1) if valley else max(low, fmpq(-1)), fmpq(1) if peak else min(high, fmpq(1)))


def atan(f: Functions, q: Quotient) -> Quotient:
    """``atan(q)``."""
    t = f.tower
    if q.zero:
        return q
    if q.constant is not None and abs(q.constant) == 1:
        return t.scale(pi(f), q.constant / 4)
    side, a = f.signed(q)
    right = above(arb.pi() / 2)
    found = f.opaque("atan", (a,), lambda: f.range_of(arb.atan, a, None if right is None else -right, right))
    f.odd_facts(a, found, f"atan({t.text(a)})")
    return t.scale(found, side)


def erf(f: Functions, q: Quotient) -> Quotient:
    """``erf(q)``."""
    t = f.tower
    if q.zero:
        return q
    side, a = f.signed(q)
    found = f.opaque("erf", (a,), lambda: f.range_of(arb.erf, a, fmpq(-1), fmpq(1)))
    f.know.learn(t.mul(a, found), f"erf({t.text(a)}) has its argument's sign")
    return t.scale(found, side)


def asin(f: Functions, q: Quotient) -> Quotient:
    """``asin(q)`` where ``|q| <= 1``."""
    t = f.tower
    f.need("nonnegative", t.sub(t.const(1), t.power(q, 2)))
    if q.zero:
        return q
    right = above(arb.pi() / 2)
    side, a = f.signed(q)
    return t.scale(f.opaque("asin", (a,), lambda: Range(None if right is None else -right, right)), side)


def acos(f: Functions, q: Quotient) -> Quotient:
    """``pi/2 - asin(q)``."""
    return f.tower.sub(f.tower.scale(pi(f), fmpq(1, 2)), asin(f, q))


def cbrt(f: Functions, q: Quotient) -> Quotient:
    """The real cube root."""
    t = f.tower
    if q.zero or (q.constant is not None and abs(q.constant) == 1):
        return q
    side, a = f.signed(q)
    sign = f.know.sign_of(a)
    found = t.generator(
        "cbrt", (a,), f"cbrt({t.text(a)})", lambda: Range(fmpq(0) if sign > 0 else None, None, sign == 2)
    )
    t.relate(found, 3, a)
    return t.scale(t.element(found), side)


def power(f: Functions, x: Quotient, y: Quotient) -> Quotient:
    """``x^y = exp(y log x)`` where ``x > 0``; ``0^y = 0`` for ``y > 0``."""
    t, p = f.tower, y.constant
    if p is not None and x.zero and p > 0:
        return x
    if p is not None and abs(p) < MOST_POWER and p.q <= 2:
        if p.q == 2:
            f.need("nonnegative" if p > 0 else "positive", x)
            return t.power(f.sqrt(x), int(p.p))
        f.need("nonnegative" if p > 0 else "positive", x)
        return t.power(x, int(p))
    if p is not None and p > 0 and abs(f.know.sign_of(x)) != POSITIVE:
        f.need("nonnegative", x)
        if f.decide("le", x):
            return t.const(0)
    return f.exp(t.mul(y, f.log(x)))


def floor(f: Functions, q: Quotient) -> Quotient:
    """The largest whole number not above, where only one can be."""
    lo, hi = quotient_bounds(f.tower, q)
    if lo is None or hi is None or lo.floor() != hi.floor():
        msg = f"floor({f.tower.text(q)})"
        raise TooHard(msg)
    return f.tower.const(int(lo.floor()))


def atan2(f: Functions, y: Quotient, x: Quotient) -> Quotient:
    """The angle of ``(x, y)``, to the right of the vertical axis."""
    if f.know.sign_of(x) != POSITIVE:
        msg = f"atan2 where {f.tower.text(x)} may not be above 0"
        raise TooHard(msg)
    return atan(f, f.tower.div(y, x))


# Of several numbers


def softmax(f: Functions, z: Sequence[Quotient]) -> list[Quotient]:
    """``exp(z_i) / sum exp(z)``."""
    t = f.tower
    a = [t.sub(one, z[-1]) for one in z[:-1]]
    if all(one.zero for one in a):
        return [t.const(fmpq(1, len(z)))] * len(z)
    if f.split:
        e = [*(f.exp(one) for one in a), t.const(1)]
        whole = e[0]
        for one in e[1:]:
            whole = t.add(whole, one)
        return [t.div(one, whole) for one in e]
    if len(z) == 2:
        share = f.logistic(a[0])
        return [share, t.sub(t.const(1), share)]
    return weights(f, a)


def weights(f: Functions, a: list[Quotient]) -> list[Quotient]:
    """Shares of ``exp(a_1), ..., exp(a_n), 1`` in their sum."""
    t, words = f.tower, ", ".join(f.tower.text(one) for one in a)
    fresh = f"softmax0({','.join(one.key for one in a)})" not in t.known
    made, last = [], t.const(1)
    for place in range(len(a)):
        found = t.generator(
            f"softmax{place}", tuple(a), f"softmax{place}({words})", lambda: Range(fmpq(0), fmpq(1), True)
        )
        made.append(t.element(found))
        last = t.sub(last, made[-1])
    made.append(last)
    if fresh:
        f.know.learn(last, "weights of a softmax add up to 1", strict=True)
        for place, one in enumerate(made):
            for other in made[place + 1 :]:
                f.know.learn(t.mul(one, other), "weights of a softmax are positive", strict=True)
    return made


def lse(f: Functions, z: Sequence[Quotient]) -> Quotient:
    """``log sum exp(z)``."""
    t = f.tower
    a = [t.sub(one, z[-1]) for one in z[:-1]]
    if all(one.zero for one in a):
        return t.add(z[-1], f.log(t.const(len(z))))
    if f.split:
        whole = t.const(1)
        for one in a:
            whole = t.add(whole, f.exp(one))
        return t.add(z[-1], f.log(whole))
    if len(z) == 2:
        middle = t.scale(t.add(z[0], z[1]), fmpq(1, 2))
        two = f.log(t.scale(f.cosh(t.scale(a[0], fmpq(1, 2))), 2))
        return t.add(middle, two)
    return t.add(z[-1], _lse_of(f, a))


def _lse_of(f: Functions, a: list[Quotient]) -> Quotient:
    """``log(1 + sum exp(a))``: the entropy of its weights and their mean exponent."""
    t = f.tower
    shares = weights(f, a)
    size = f.log(t.const(len(a) + 1))
    found = f.opaque("lse", tuple(a), lambda: Range(fmpq(0), None, True))
    mean = t.const(0)
    for share, one in zip(shares, a, strict=False):
        mean = t.add(mean, t.mul(share, one))
        f.know.learn(t.sub(found, one), "log-sum-exp is above each of its arguments", strict=True)
    f.know.learn(t.sub(found, mean), "an entropy is positive", strict=True)
    f.know.learn(t.sub(t.add(size, mean), found), "an entropy is at most that of equal weights")
    return found
