"""Addresses: blocks of lines that name a country, a postcode or whom they are for.

In: the lines of a page. Out: addresses with their lines, country and postcode (`finder`). `blocks` joins lines by
geometry alone; `countries` and `postcodes` know what their text names.

Invariant: a line belongs to one address at most, and an address never contains its caption.
"""
