"""Everything in one process, with no server beside it: the default of ``make run``.

The same four services behind the same gateway, with small adapters: SQLite for MySQL, files for GridFS, durable
queues in a file for RabbitMQ, and an issuer of Google-shaped tokens for Google. Data lies in one folder and is kept
across restarts.
"""
