"""The tables of the app."""

from django.db import models


class Book(models.Model):
    """A book, and who has it."""

    title = models.CharField(max_length=100, unique=True)
    reader = models.CharField(max_length=100, blank=True)

    def __str__(self):
        return self.title
