from hypothesis import Phase
from hypothesis import settings as hypothesis_settings

pytest_plugins = ["dbrouting.pytest_plugin", "dbrouting.adoption_plugin"]

# How long tests/test_random_moves.py searches: the same few moves in each run, unless pytest gets
# --hypothesis-profile=thorough. Only then is what fails cut down, which takes minutes.
hypothesis_settings.register_profile(
    "brief", max_examples=6, derandomize=True, deadline=None, database=None, phases=[Phase.generate]
)
hypothesis_settings.register_profile("thorough", max_examples=500, deadline=None, database=None)
hypothesis_settings.load_profile("brief")
