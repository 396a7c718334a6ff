"""The fault suite: runs are interrupted, starved and damaged at random moments, and must still end with correct results.

`python -m tests.faults --trials 48 --seed 1` runs 48 trials and prints a table; `make faults` does the same. A trial copies a
finished run without some of its artifacts, continues it, causes one fault, follows the error messages, and compares every
artifact byte for byte with an undisturbed run of the same configuration.
"""
