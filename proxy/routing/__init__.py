"""A request's account, region and profile. Pure: values in, a value out."""
