"""Self-contained HTML pages: one per training run, per data check, per demo and of the whole zoo.

Everything here reads files or plain records and writes one file that opens offline (`ganzoo.report.pages` holds the parts).
"""

from ganzoo.report.data import write_data_report
from ganzoo.report.demo import write_demo_page
from ganzoo.report.run import write_run_report
from ganzoo.report.zoo import write_zoo_page

__all__ = ["write_data_report", "write_demo_page", "write_run_report", "write_zoo_page"]
