"""A plugin of pytest that prints what `test_conformance.py` found, and refusals in full."""

import re

import pytest

SHOWN = {"passed": "yes", "failed": "FAILED", "skipped": "-"}


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter):
    outcomes, refusals = {}, []
    for outcome, shown in SHOWN.items():
        for report in terminalreporter.stats.get(outcome, []):
            check, case = re.search(r"test_(\w+)\[(\w+)\]$", report.nodeid).groups()
            words = dict(report.user_properties).get("refused")
            if words:
                refusals.append(words)
                shown = f"refused {len(refusals)}"
            outcomes.setdefault(case, {})[check] = shown
    checks = list(dict.fromkeys(check for row in outcomes.values() for check in row))
    width = max(map(len, outcomes), default=0)
    write = terminalreporter.write_line
    write("")
    write("  ".join([" " * width, *checks]))
    for case, row in outcomes.items():
        cells = [row.get(check, "").ljust(len(check)) for check in checks]
        write("  ".join([case.ljust(width), *cells]).rstrip())
    for number, words in enumerate(refusals, 1):
        write(f"refused {number}: {words}")
