"""How fast Pacifica Dispatcher is beside its peers: ``python -m bench``, or ``make bench``; see README.md here.

Nothing of this is shipped. The harness runs in the project's environment, the peers in environments of their own.
"""
