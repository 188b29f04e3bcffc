"""Where a picture is cut into tiles, how far networks look beyond a cut, and sizes of grids."""
