"""Does a file mean the same everywhere? ``promises`` asks, in every environment there is."""
