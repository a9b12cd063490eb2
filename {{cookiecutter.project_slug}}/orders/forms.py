from django import forms

from catalogue.models import Product

MOST_OF_ONE_PRODUCT = 99


class PlaceOrderForm(forms.Form):
    """One product, known by its slug, and how many.

    The queryset is written at import but read in a request: until then no router is asked.
    """

    product = forms.ModelChoiceField(
        Product.objects.orderable(),
        to_field_name="slug",
        error_messages={"invalid_choice": "This product is not available."},
    )
    quantity = forms.IntegerField(min_value=1, max_value=MOST_OF_ONE_PRODUCT, initial=1)
