"""Tests on a real Slurm of one node, which they start themselves."""
