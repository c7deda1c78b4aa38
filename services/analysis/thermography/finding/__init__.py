"""From temperatures to regions: what would be sound in a view, and where the view differs."""
