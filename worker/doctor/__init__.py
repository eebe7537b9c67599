"""What each model of a server should be by its manifest, what it is, and what that costs.

In: a server's answers about its models, and a drawn page that is read through it. Out: findings, the dearest first, and
the remedy for each. Invariant: a finding names what was seen and what was promised; what was not measured gives none.
"""
