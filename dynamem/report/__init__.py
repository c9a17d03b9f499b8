"""The report of an audit, and of one verdict on a region: one HTML file that needs neither a network nor scripts."""

from ._page import write_certify_html as write_certify_html
from ._page import write_html as write_html
