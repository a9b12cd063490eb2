pytest_plugins = ["dbrouting.pytest_plugin", "dbrouting.adoption_plugin"]
