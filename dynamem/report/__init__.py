"""Pages about an audit, a verdict on a region, the survey's table, solvers, stability: HTML, no network, no scripts."""

from ._page import write_certify_html as write_certify_html
from ._page import write_compare_html as write_compare_html
from ._page import write_html as write_html
from ._page import write_stability_html as write_stability_html
from ._page import write_survey_html as write_survey_html
from ._page import write_testing_html as write_testing_html
