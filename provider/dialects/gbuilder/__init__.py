"""The API of gBuilder's custom endpoints: one algorithm, a file in, a file out."""
