"""Pages about an audit, one verdict on a region, or the survey's table: an HTML file without network and scripts."""

from ._page import write_certify_html as write_certify_html
from ._page import write_html as write_html
from ._page import write_survey_html as write_survey_html
