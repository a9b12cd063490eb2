"""What the load test of tenants puts into a baked project: views that read a tenant's own rows, each in another way."""
