"""The survey's comparison of associative memories and diffusion models, computed: a row a property, a column a system.

Source: Hoover et al. 2023 (arXiv 2309.16750), table 1.
"""

from ._cell import Cell as Cell
from ._cell import Property as Property
from ._field import Held as Held
from ._recall import Curve as Curve
from ._table import SurveyTable as SurveyTable
from ._table import survey_table as survey_table
