"""One file an experiment: from a card to protocols, and to the groups of its run files.

Scripts compose these.  Each function checks that the card suits the protocol and says in one
sentence what is missing where it does not.
"""
