"""What every service needs alike, and nothing about energy: a microservice chassis.

Settings, logging, correlation, problem details, health, metrics, token verification, the database with its
migrations, the outbox, and the broker. It imports only :mod:`contracts`; a service imports the rooms it needs.
"""
