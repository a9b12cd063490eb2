"""What the load tests put into a baked project: a site that writes a row and reads it, by two sets of settings."""
