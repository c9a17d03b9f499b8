"""Which solver and which schedule keeps the guarantee, at what cost."""

from ._compare import Comparison as Comparison
from ._compare import compare as compare
from ._compare import compare_all as compare_all
from ._counterexamples import COUNTEREXAMPLES as COUNTEREXAMPLES
from ._counterexamples import Counterexample as Counterexample
from ._counterexamples import Course as Course
from ._counterexamples import course_of as course_of
from ._counterexamples import gallery as gallery
from ._counterexamples import two_pattern_runs as two_pattern_runs
from ._evaluations import counted as counted
from ._limits import largest_safe_step as largest_safe_step
from ._map import RiseMap as RiseMap
from ._map import rise_map as rise_map
from ._map import rise_maps as rise_maps
from ._methods import methods_for as methods_for
from ._orders import fitted as fitted
from ._problems import problem as problem
from ._problems import problems as problems
from ._records import Ascent as Ascent
from ._records import Curve as Curve
from ._records import Method as Method
from ._records import Order as Order
from ._records import Problem as Problem
from ._records import Row as Row
from ._records import Setting as Setting
from ._records import StepLimit as StepLimit
