"""STYLE as tests: size, names, prose, layout, imports and requirements of the whole tree."""
