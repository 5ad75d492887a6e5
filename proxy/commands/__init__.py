"""The commands of `ads-proxy`, one file for each, under its name. Names, options and help are in `cli`."""
