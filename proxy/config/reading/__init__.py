"""Where a configuration comes from: a YAML file, environment variables, and the files that it refers to."""
