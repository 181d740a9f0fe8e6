"""The configuration of the app."""

from django.apps import AppConfig


class LibraryConfig(AppConfig):
    """The app ``library``."""

    name = "library"
