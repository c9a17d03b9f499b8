"""Algebra: signs of what a program computes, shown exactly, at all points of a region that need not be bounded.

`attempt` reads a program as a rational function of its coordinates and of the functions in it, over exact rational
numbers, and shows a sign by those of factors and terms, roots on a line, or sums of squares; case by case where the
code branches. Floats only suggest what is then checked in rational numbers.
"""

from ._case import Outcome as Outcome
from ._case import Task as Task
from ._case import attempt as attempt
from ._case import rows_of as rows_of
from ._finite import points_of as points_of
