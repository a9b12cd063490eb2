"""What the benchmarks of tenants put into a baked project: one page, and a module of settings for each way to serve it.

The peers' are what their documentation says, with the connections and the tables that plain Django has here.
"""
