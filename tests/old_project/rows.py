"""Years of use: run by `python manage.py shell`."""

from django.contrib.auth.models import User

from catalogue.models import Category, Product
from notes.models import Note
from orders.models import Label, Order
from people.models import Profile

tea = Category.objects.create(name="Tea")
sencha = Product.objects.create(category=tea, name="Sencha", price="9.50", sold=3)
assam = Product.objects.create(category=tea, name="Assam", price="4.25", sold=1)

for name in ("ann", "bob", "cid"):
    user = User.objects.create_user(name, password="secret", is_staff=name == "ann", is_superuser=name == "ann")
    Profile.objects.create(user=user, nickname=name.title())
    for number, product in enumerate((sencha, assam), start=1):
        order = Order.objects.create(customer=user, number=number)
        order.lines.create(product=product, quantity=number, price=product.price)
        order.labels.set(Label.objects.filter(name="gift")[:number - 1])
    Note.objects.create(author=user, target=order, text="Ring twice")
    Note.objects.create(author=user, target=assam, text="Strong")

Order.objects.filter(number=1, customer__username="cid").update(status="cancelled")
# The highest numbers that were given out are of rows that are gone: they must not be given out again.
for number in (7, 8):
    Order.objects.create(customer=user, number=number).delete()
