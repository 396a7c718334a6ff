"""Tests on a real Slurm cluster of one node, which the tests start."""
