"""Versions of packages, as reports and certificates tell them."""

from importlib.metadata import PackageNotFoundError, version


def version_of(package: str, otherwise: str | None = None) -> str | None:
    """The version of a package, or ``otherwise`` where it runs from a source tree that was never installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return otherwise
