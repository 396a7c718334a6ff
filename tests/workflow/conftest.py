"""Shared imports of these tests; the finished run is a fixture in tests/checkout.py."""

from __future__ import annotations

from tests.checkout import ROOT, Checkout

__all__ = ["ROOT", "Checkout"]
