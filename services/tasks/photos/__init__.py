"""Where photos lie: one interface, GridFS on servers and files embedded."""
