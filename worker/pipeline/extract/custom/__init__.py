"""Fields that a deployment declares in a file of its own.

In: a TOML file (`fields_file`). Out: finders (`pattern_field`) and a catalog with the deployment's numbers.

Invariant: nothing in the file takes effect unless all of it is right.
"""
