"""A training run: phases, steps, optimizers, several processes, files to go on from, validation."""
