from django.db import models


class Currency(models.Model):
    """A master table: it exists once, in the shared database, and every tenant reads it there.

    A tenant's rows can't have a foreign key to it. They keep the code, which never changes.
    """

    code = models.CharField(max_length=3, primary_key=True)
    name = models.CharField(max_length=50)

    class Meta:
        ordering = ["code"]
        verbose_name_plural = "currencies"

    def __str__(self) -> str:
        return self.code
