"""Ways to damage a file."""

from __future__ import annotations

import random

LIES = (0, 1, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def damaged(data: bytes, choose: random.Random) -> bytes:
    """The file with up to four random faults: cut, flipped, overwritten by a made-up size, doubled, removed, other bytes."""
    found = bytearray(data)
    for _ in range(choose.randint(1, 4)):
        found = choose.choice(FAULTS)(found, choose)
    return bytes(found)


def _place(data: bytearray, choose: random.Random) -> int:
    # sizes stand at the beginning and at the end of most formats
    edge = choose.choice(("begin", "end", "any", "any"))
    near = choose.randrange(min(64, len(data) + 1))
    return {"begin": near, "end": max(len(data) - 1 - near, 0)}.get(edge, choose.randrange(len(data) + 1))


def cut(data: bytearray, choose: random.Random) -> bytearray:
    return data[: _place(data, choose)]


def flip(data: bytearray, choose: random.Random) -> bytearray:
    for _ in range(choose.randint(1, 4)):
        if data:
            data[min(_place(data, choose), len(data) - 1)] ^= 1 << choose.randrange(8)
    return data


def lie(data: bytearray, choose: random.Random) -> bytearray:
    place, width = _place(data, choose), choose.choice((1, 2, 4, 8))
    data[place : place + width] = (choose.choice(LIES) % (1 << 8 * width)).to_bytes(width, choose.choice(("little", "big")))
    return data


def number(data: bytearray, choose: random.Random) -> bytearray:
    """Where numbers are written as text: one of them, or all that follow, become another."""
    digits = [index for index, byte in enumerate(data) if 48 <= byte <= 57]
    if not digits:
        return data
    start = choose.choice(digits[: choose.choice((1, 4, len(digits)))])
    end = start
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    return data[:start] + choose.choice((b"-1", b"1e99", b"9" * 5000, str(choose.choice(LIES)).encode())) + data[end:]


def insert(data: bytearray, choose: random.Random) -> bytearray:
    place, size = _place(data, choose), choose.choice((1, 3, 8, 100, 5000))
    kinds = (choose.randbytes(size), b"[" * size, b"{" * size, b" " * size, b"\n" * size, b"\x00" * size, b"\xff" * size)
    return data[:place] + choose.choice(kinds) + data[place:]


def remove(data: bytearray, choose: random.Random) -> bytearray:
    place = _place(data, choose)
    return data[:place] + data[place + choose.choice((1, 2, 8, 64)) :]


def double(data: bytearray, choose: random.Random) -> bytearray:
    start, end = sorted((_place(data, choose), _place(data, choose)))
    return data[:end] + data[start:end] + data[end:]


def noise(data: bytearray, choose: random.Random) -> bytearray:
    """Nothing of the file but its first bytes, which say of what format it is."""
    return data[: choose.choice((0, 1, 2, 4, 8, 12))] + bytearray(choose.randbytes(choose.choice((0, 1, 7, 64, 900))))


FAULTS = (cut, flip, flip, lie, lie, number, insert, remove, double, noise)
