"""The fault suite: the workflow is interrupted, starved and damaged at random moments, and must come out right all the same.

`python -m tests.faults --moments 48 --seed 1` runs so many moments and prints a table; `make faults` does the same. A moment
starts from a copy of a finished run of which some artifacts are missing, lets one fault happen, follows what the messages say,
and compares every artifact byte for byte with an undisturbed run of the same configuration.
"""
