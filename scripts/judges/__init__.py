"""Judges that the project did not write; `scripts/judge` installs and runs them."""
