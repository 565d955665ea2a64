"""Damage to pickles: instructions that ask for code, for all memory, or for nothing that makes sense."""

from __future__ import annotations

import random

from mutate import damage

GADGETS = (
    b"cposix\nsystem\n(S'touch ran'\ntR.",
    b"cos\nsystem\nX\x09\x00\x00\x00touch ran\x85R.",
    b"\x8c\x08builtins\x8c\x04eval\x93",
    b'cbuiltins\nexec\n(S\'open("ran","w")\'\ntR',
    b"cnumpy\nndarray\n",
    b"cnumpy\nload\n(S'x.npy'\ntR",
    b"cnumpy\ndtype\n(S'O'\ntR",
    b"c_codecs\nencode\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy._core.numeric\n_frombuffer\n",
    b"P1\n",
    b"Q",
    b"\x82\x01",
    b"cnumpy.core.multiarray\nscalar\n",
    b"(lp0\n",
    b"}",
    b"s",
    b"b",
    b"R",
    b"\x81",
    b"i__main__\nX\n",
    b"o",
    b"2",
    b"0",
    b"1",
    b"(",
    b"\x94",
    b"h\x00",
    b"j\xff\xff\xff\x7f",
    b"r\xff\xff\xff\x7f",
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"T\xff\xff\xff\x7f",
    b"V\\ud800\n",
    b"\x8b\xff\xff\xff\x7f",
    b"I" + b"9" * 6000 + b"\n",
    b"L" + b"9" * 6000 + b"L\n",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
    b"(" * 3000,
    b"]" * 3000 + b"a" * 2999,
    b"cawac_fuzz_canary\nrun\n)R",
    b"ctorch\nload\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cnumpy\ndtype\n(S'V99999999'\ntR",
)


def damage_pickle(rng: random.Random, data: bytes, others: list[bytes] = ()) -> bytes:  # type: ignore[assignment]
    """Instructions put in or made up; sometimes only bytes changed."""
    how = rng.random()
    if how < 0.5:
        return damage(rng, data, others)
    if how < 0.8:
        at = rng.randrange(len(data))
        return data[:at] + rng.choice(GADGETS) + data[at + rng.choice((0, 0, 1, 2, 8)) :]
    return b"".join(rng.choice(GADGETS) for _ in range(rng.randrange(1, 12))) + b"."
