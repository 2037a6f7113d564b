"""The commands: ``NAME.py`` holds the click command ``NAME``, and is imported only when used."""
