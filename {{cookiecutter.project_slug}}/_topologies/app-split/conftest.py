pytest_plugins = ["dbrouting.pytest_plugin"]
