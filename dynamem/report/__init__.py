"""The report of an audit: one HTML file that needs neither a network nor scripts."""

from ._page import write_html as write_html
