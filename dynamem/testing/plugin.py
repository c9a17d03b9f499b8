"""The pytest plugin: verdicts of a run as a report, certificates where a property passed, profiles of Hypothesis.

It loads with every run of pytest in an environment that has dynamem, and imports neither JAX nor Hypothesis.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from .._errors import InputError
from .._journal import LISTENERS
from ._ledger import Ledger, counts


PROFILES = {
    "dev": {"max_examples": 20},
    "ci": {"max_examples": 100, "derandomize": True, "database": None, "print_blob": True},
    "thorough": {"max_examples": 1000},
}
"""Settings of Hypothesis; none has a deadline, since the first example of a shape compiles."""
BUDGET_S = 20.0
MARK = "dynamem(certify=SECONDS): after the test passed, ask its assertions on the whole box of their states; 0: never"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("dynamem", "verdicts on energies and flows")
    group.addoption("--dynamem-report", metavar="FILE", action="append", default=[],
                    help="write the verdicts of the run: FILE.html for people, FILE.json for machines")  # fmt: skip
    group.addoption("--dynamem-certify", action="store_true", default=False,
                    help=f"climb: where assert_lyapunov passed, ask for a certificate on the whole box of its states, "
                    f"{BUDGET_S:g} s a call; a rise that is found there fails the test")  # fmt: skip
    group.addoption("--dynamem-certificates", metavar="FOLDER", default=None,
                    help="keep certificates here, for `dynamem verify`; climbs too")  # fmt: skip
    group.addoption("--dynamem-profile", choices=list(PROFILES), default=None,
                    help="settings of Hypothesis: 20, 100, 1,000 examples; ci always draws the same")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Look at the options before anything runs."""
    config.addinivalue_line("markers", MARK)
    profile = config.getoption("--dynamem-profile")
    if profile is not None:
        _load(profile)
    config.pluginmanager.register(Run(config), "dynamem-run")


def _load(name: str) -> None:
    try:
        from hypothesis import HealthCheck, settings
    except ImportError as error:
        msg = f"--dynamem-profile={name} needs Hypothesis: pip install hypothesis"
        raise pytest.UsageError(msg) from error
    how: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], **PROFILES[name]}
    settings.register_profile(f"dynamem-{name}", **how)
    settings.load_profile(f"dynamem-{name}")


class Run:
    """Listens to what each test finds, and writes it down at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.helper = getattr(config, "workerinput", None) is not None  # of pytest-xdist: it hands its rows on
        self.paths = _reports(config.getoption("--dynamem-report") or [])
        folder = config.getoption("--dynamem-certificates")
        self.folder = None if folder is None else Path(folder).resolve()
        self.climbs = config.getoption("--dynamem-certify") or folder is not None
        self.found: dict[str, dict[str, Any]] = {}
        self.ledger = Ledger()
        self.lines: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Listen, from the first fixture to the last."""
        self.ledger = Ledger()
        LISTENERS.append(self.ledger.enter)
        try:
            return (yield)
        finally:
            LISTENERS.remove(self.ledger.enter)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """After a test that passed: climb, if that was asked for."""
        result = yield
        seconds = self._seconds(item)
        rises = self.ledger.climb(seconds, self.folder, item.nodeid) if seconds > 0 else []
        if rises:
            pytest.fail("\n".join(rises), pytrace=False)
        return result

    def _seconds(self, item: pytest.Item) -> float:
        mark = item.get_closest_marker("dynamem")
        asked = None if mark is None else mark.kwargs.get("certify")
        return float(asked) if asked is not None else BUDGET_S if self.climbs else 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Generator[None, Any, Any]:
        """Hand over what was found; plain values, so that it passes between processes."""
        report = yield
        if report.when == "teardown":
            report.dynamem = self.ledger.rows()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome, seconds and rows of a test."""
        test = self.found.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0, "verdicts": []})
        test["seconds"] += report.duration
        if report.outcome != "passed":
            test["outcome"] = report.outcome
        test["verdicts"] += getattr(report, "dynamem", [])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the reports."""
        if self.helper or not self.paths:
            return
        from ._report import write

        command = list(map(str, self.config.invocation_params.args))
        for path in self.paths:
            try:
                write(path, self.found, command)
                self.lines.append(f"report: {path}")
            except (InputError, OSError) as error:
                self.lines.append(f"no report: {error}")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """One line of counts, and where the reports are."""
        rows = [row for test in self.found.values() for row in test["verdicts"]]
        if rows and (self.paths or self.climbs):
            terminalreporter.write_sep("-", "dynamem")
            terminalreporter.write_line(counts(rows))
        for line in self.lines:
            terminalreporter.write_line(line)


def _reports(files: list[str]) -> list[Path]:
    from .._output import check

    for file in files:
        if Path(file).suffix not in (".html", ".json"):
            msg = f"--dynamem-report={file}: name a file that ends in .html or .json"
            raise pytest.UsageError(msg)
    try:
        return [check("--dynamem-report", file) for file in files]
    except InputError as error:
        raise pytest.UsageError(str(error)) from error
