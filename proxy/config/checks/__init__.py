"""The checks of a configuration: values that the model refused, keys that do not fit together, notes."""
