"""The commands of the `diversity` tool, a module each, imported only when its command runs."""
