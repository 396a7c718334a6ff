"""What the tests of this folder share; the run itself is a fixture of all tests."""

from __future__ import annotations

from tests.checkout import ROOT, Checkout

__all__ = ["ROOT", "Checkout"]
