"""auth: who a person is, and what is known of the person's home.

Owns ``UserData`` (users with their profiles) and the keys that sign access tokens. Publishes ``ProfileUpdated`` for
each change of a profile, from its outbox, with a version that grows. Consumes nothing.

Promises: nobody signs in as somebody else; a profile that was answered as updated is stored, and tasks hears of it.
"""
