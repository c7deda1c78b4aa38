"""The services behind the gateway, and the chassis that they share."""
