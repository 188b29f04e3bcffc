"""Training in three phases: autoencoder, transform coding, joint. See docs/training.md.

Nothing else in ``glc`` imports this package; ``glc train`` and ``python -m glc.training`` call
``main``.

    command        arguments and the order of the phases; settings: what a run is told
    data           pictures: where they lie (sources), which windows (crops), in memory or streaming
    losses         what judges a picture or a latent (features, discriminator, predictor, grid), and
                   rate_control, which holds the rate to a target; bits themselves are estimated by
                   ``glc.effort.differentiable_rate``
    engine         loop: one run; phases: what each optimises; optimizers, muon; ema; validation;
                   distributed; resume: files to go on from; start, net2net: what a new model begins
                   with; step_budget, bench: how many steps fit into a time
    export         what came of it: weights_file, calibration for 8 bits, model_card
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
