"""A plugin of pytest that prints what `test_conformance.py` found, and refusals in full."""

import re

import pytest

SHOWN = {"passed": "yes", "failed": "FAILED", "skipped": "-"}


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter):
    # Each refusal's number.
    outcomes, refusals = {}, {}
    for outcome, word in SHOWN.items():
        for report in terminalreporter.stats.get(outcome, []):
            check, case = re.search(r"test_(\w+)\[(\w+)\]$", report.nodeid).groups()
            words = dict(report.user_properties).get("refused")
            if words:
                refusals.setdefault(words, len(refusals) + 1)
            cell = f"refused {refusals[words]}" if words else word
            outcomes.setdefault(case, {})[check] = cell
    checks = list(dict.fromkeys(check for row in outcomes.values() for check in row))
    width = max(map(len, outcomes), default=0)
    write = terminalreporter.write_line
    write("")
    write("  ".join([" " * width, *checks]))
    for case, row in outcomes.items():
        cells = [row.get(check, "").ljust(len(check)) for check in checks]
        write("  ".join([case.ljust(width), *cells]).rstrip())
    for words, number in refusals.items():
        write(f"refused {number}: {words}")
