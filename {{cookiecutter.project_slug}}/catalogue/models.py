from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse


class Category(models.Model):
    name = models.CharField(max_length=100)
    slug = models.SlugField(unique=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name


class ProductQuerySet(models.QuerySet["Product"]):
    def orderable(self) -> "ProductQuerySet":
        """The same rule as `Product.is_orderable`, for the database to apply."""
        return self.filter(is_available=True, stock__gt=0)


class Product(models.Model):
    """Something on sale.

    The foreign key is safe because a category is in this app, hence in the same database. Other apps
    hold a product's id and copies of what they need, so that the catalogue can live anywhere.
    """

    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    name = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, validators=[MinValueValidator(0)])
    stock = models.PositiveIntegerField(default=0)
    is_available = models.BooleanField(default=True)

    objects = ProductQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("catalogue:product_detail", args=[self.slug])

    @property
    def is_orderable(self) -> bool:
        return self.is_available and self.stock > 0
