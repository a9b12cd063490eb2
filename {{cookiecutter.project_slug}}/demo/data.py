"""The demo data, written out: the same rows on every run, on every machine, in every database."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

STAFF_USERNAME = "demo"
STAFF_PASSWORD = "demo-password"


class Customer(NamedTuple):
    username: str
    first_name: str
    last_name: str


class Product(NamedTuple):
    slug: str
    name: str
    price: Decimal
    stock: int
    is_available: bool = True


class Order(NamedTuple):
    """An order has no name of its own: who ordered, and when, tells it from all others."""

    username: str
    created_at: datetime
    status: str
    quantities: dict[str, int]


CUSTOMERS = [
    Customer("ada", "Ada", "Brandt"),
    Customer("jonas", "Jonas", "Okafor"),
    Customer("mei", "Mei", "Castillo"),
]

CATALOGUE = {
    ("coffee", "Coffee"): [
        Product("house-espresso-250g", "House espresso, 250 g", Decimal("8.90"), 120),
        Product("ethiopia-filter-250g", "Ethiopia filter roast, 250 g", Decimal("11.50"), 64),
        Product("decaf-colombia-250g", "Decaf Colombia, 250 g", Decimal("10.20"), 38),
        Product("winter-blend-250g", "Winter blend, 250 g", Decimal("9.80"), 25, is_available=False),
    ],
    ("tea", "Tea"): [
        Product("darjeeling-first-flush-100g", "Darjeeling first flush, 100 g", Decimal("13.40"), 30),
        Product("sencha-100g", "Sencha, 100 g", Decimal("9.60"), 45),
        Product("rooibos-200g", "Rooibos, 200 g", Decimal("6.30"), 80),
        Product("peppermint-80g", "Peppermint, 80 g", Decimal("4.90"), 0),
    ],
    ("brewing", "Brewing"): [
        Product("hand-grinder", "Hand grinder", Decimal("64.00"), 14),
        Product("pour-over-dripper", "Pour-over dripper", Decimal("22.50"), 32),
        Product("paper-filters-100", "Paper filters, 100 sheets", Decimal("5.40"), 210),
        Product("gooseneck-kettle", "Gooseneck kettle", Decimal("48.00"), 9),
    ],
    ("tableware", "Tableware"): [
        Product("espresso-cup", "Espresso cup", Decimal("9.00"), 75),
        Product("stoneware-mug", "Stoneware mug", Decimal("14.00"), 58),
        Product("glass-teapot", "Glass teapot, 1 litre", Decimal("32.00"), 12),
        Product("serving-tray", "Serving tray, oak", Decimal("27.50"), 20),
    ],
}

ORDERS = [
    Order("ada", datetime(2026, 1, 12, 9, 15, tzinfo=UTC), "shipped", {"hand-grinder": 1}),
    Order("ada", datetime(2026, 2, 3, 18, 40, tzinfo=UTC), "shipped", {"house-espresso-250g": 2}),
    Order("jonas", datetime(2026, 2, 9, 11, 5, tzinfo=UTC), "cancelled", {"glass-teapot": 1}),
    Order("jonas", datetime(2026, 2, 10, 8, 30, tzinfo=UTC), "shipped", {"sencha-100g": 1, "stoneware-mug": 2}),
    Order("mei", datetime(2026, 2, 21, 14, 20, tzinfo=UTC), "shipped", {"rooibos-200g": 3}),
    Order("mei", datetime(2026, 3, 2, 16, 55, tzinfo=UTC), "placed", {"espresso-cup": 4, "serving-tray": 1}),
    Order(
        STAFF_USERNAME,
        datetime(2026, 3, 4, 7, 45, tzinfo=UTC),
        "shipped",
        {"pour-over-dripper": 1, "paper-filters-100": 2},
    ),
    Order(STAFF_USERNAME, datetime(2026, 3, 5, 12, 10, tzinfo=UTC), "placed", {"ethiopia-filter-250g": 1}),
]
