"""The registry of models: complete built repositories as versions, which is in use, and how each was judged.

Invariant: everything in a registry is written once, whole, and never changed. No pointer moves: the version in use is
the one that the last record of promotions names, so a reader sees one whole version, whoever writes meanwhile.

versions/<version>/files/<path>       what a build wrote
versions/<version>/release.json       what the version is; written last, so without it there is no version
promotions/<number>.json              which version came into use, one record after the other
evaluations/<version>/<number>.json   how a version was judged

`versions.py` publishes, finds, verifies and fetches; `promotion.py` says what is in use; `evaluations.py` keeps
verdicts; `built.py` reads what a build wrote.
"""
