"""Reading and writing artifacts: Parquet tables, safetensors and Arrow files, sealed with their provenance.

Every artifact carries its provenance (stage, format version, parameters, seed, digests of code and inputs) and a seal: the
SHA-256 of the whole file, taken with zeros where the seal itself stands. No clock, host or path is in it, so the same inputs
give the same bytes. Writing goes to a temporary file beside the target, is flushed to disk and renamed; reading verifies the
seal first, so that no parser ever sees an altered file.

What a reader needs beyond tensors or rows (the settings of a network, the language of packed text) is in metadata of its own:
no reader depends on the parameters in the provenance, which rules name.
"""

from lexigraft.artifacts.atomic import atomic_file, claim, remove_leftovers, umask, write_json, write_text
from lexigraft.artifacts.companions import check_companion, with_companions
from lexigraft.artifacts.formats import (
    map_arrow,
    read_table,
    read_tensors,
    scan_table,
    tensors_header,
    write_arrow,
    write_table,
    write_tensors,
)
from lexigraft.artifacts.sealing import PROVENANCE_KEY, Provenance, check, identity, read_metadata, read_provenance, sealed_file
from lexigraft.artifacts.verifying import files_below, sealed_page, verify

__all__ = [
    "PROVENANCE_KEY",
    "Provenance",
    "atomic_file",
    "check",
    "check_companion",
    "claim",
    "files_below",
    "identity",
    "map_arrow",
    "read_metadata",
    "read_provenance",
    "read_table",
    "read_tensors",
    "remove_leftovers",
    "scan_table",
    "sealed_file",
    "sealed_page",
    "tensors_header",
    "umask",
    "verify",
    "with_companions",
    "write_arrow",
    "write_json",
    "write_table",
    "write_tensors",
    "write_text",
]
