"""What the tests of this folder share; the run itself is a fixture of all tests."""

from __future__ import annotations

from tests.checkout import Checkout, data_packages

__all__ = ["Checkout", "data_packages"]
