"""Which solver and which schedule keeps the guarantee, at what cost."""

from ._records import Ascent as Ascent
from ._records import Method as Method
from ._records import Order as Order
from ._records import Problem as Problem
from ._records import Row as Row
from ._records import StepLimit as StepLimit
