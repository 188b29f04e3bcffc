"""What becomes of a run's records: figures at equal rates, curves, plots, the page, the README."""
