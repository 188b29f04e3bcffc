"""Seeded mutations without guidance: the same cases for the same seed, on every machine."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.fuzz.ledger import Ledger, Target

_POOL = 256


def cases(target: Target, count: int, seed: int) -> Iterator[bytes]:
    """Yield inputs: the seeds, then mutations of them and of earlier mutations."""
    rng = random.Random(seed)
    seeds = target.seeds()
    pool: list[bytes] = []
    yield from seeds[:count]
    for _ in range(count - len(seeds)):
        # Mutants of mutants soon stop at the first field, so half begin with something real.
        parent = rng.choice(pool if pool and rng.random() < 0.5 else seeds)
        data = target.mutate(parent, rng)[: target.max_bytes]
        yield data
        if len(pool) < _POOL:
            pool.append(data)
        else:
            pool[rng.randrange(_POOL)] = data


def run(target: Target, count: int, seed: int, ledger: Ledger) -> None:
    """Run ``count`` cases."""
    ledger.warm_up()
    for data in cases(target, count, seed):
        ledger.run(data)
