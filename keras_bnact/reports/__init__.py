"""What measured layers come to in words, and on a page.

`findings` names what is worth a look in plain sentences; `page` shows them, the statistics over the
epochs, and the channels, in one HTML file.
"""

from keras_bnact.reports.findings import Finding, find
from keras_bnact.reports.page import page

__all__ = ["Finding", "find", "page"]
