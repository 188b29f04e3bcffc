"""Training in three phases: autoencoder, transform coding, joint. See docs/training.md.

Nothing else in ``glc`` imports this package; ``glc train`` and ``python -m glc.training`` call
``main``.

    command        arguments and the order of the phases; settings: what a run is told
    loop           one run: steps, adversary, checkpoints; phases: what each phase optimises
    sources, crops, data, stream    pictures: where they lie, which windows, in memory or decoded on
                   demand
    features, discriminator, predictor, grid    what judges a picture or a latent
    rate           estimated bits, and the controller that holds them to a target
    average, guard, processes, resume, log    averaged weights, skipped steps, several processes,
                   files to go on from, the record of the run
    held_out, export, card          what came of it
    bench, fit     crops per second; how many steps fit into a time
    parcel         what a bare machine with a GPU needs for a run
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``glc train`` with these arguments (those of the process when omitted).

    Returns:
        The exit code: 0 done or out of time, 1 failed, 2 wrong usage.
    """
    from glc.training.command import main as run

    return run(arguments)
