"""Synthetic shipping labels with exact truth, for demonstrations and measures that have no pictures of their own.

Carriers, firms and people are invented, save that held-out labels name the carrier whose number they bear, as only its
name tells what such a number is; the layouts are like carriers', no carrier's own. Numbers are shaped and checked as
the standards and carriers publish them.
"""
