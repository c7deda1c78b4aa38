"""auth: who a person is, and what is known of the person's home.

Owns ``UserData`` (users with their profiles), sign-outs, and the keys that sign access tokens. Publishes from its
outbox: ``ProfileUpdated`` for each change of a profile, with a version that grows, ``SignedOut``, ``AccountDeleted``.
Consumes nothing.

Promises: nobody signs in as somebody else; a profile that was answered as updated is stored, and tasks hears of it;
once a sign-out was answered, no token from before it is accepted here, and tasks hears of it; the same goes for the
deletion of an account, of which no row stays here.
"""
