"""The benchmark: Pacifica Dispatcher beside its peers. ``python -m bench``, or ``make bench``; README.md explains it.

It is not part of the package. It runs in the project's environment, the peers run in environments of their own.
"""
