"""Artifacts that several checkouts and people share: entries of a folder that are whole and unaltered, or named as damaged."""
