import json
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Model

from dbrouting.diagram import mermaid
from dbrouting.explaining import Decision, every_model, explain, explain_rule, explain_rule_outside
from dbrouting.routing_table import routing_table
from dbrouting.targets import get_targets


class Command(BaseCommand):
    help = "Shows which database each model is read from, written to and migrated on, who decides that, and why."
    requires_system_checks = ()  # it shows what is wrong, too

    def add_arguments(self, parser: CommandParser) -> None:
        get_targets().add_arguments(parser)
        parser.add_argument("names", nargs="*", metavar="app_label[.Model]", help="Show these apps or models only.")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="Print a JSON array, for programs.")
        form.add_argument("--mermaid", action="store_true", help="Print a diagram of the rule, for a README.")

    def handle(self, *args: Any, **options: Any) -> None:
        models = models_named(options["names"])
        if options["mermaid"]:
            self.stdout.write(mermaid(explain_rule_outside(models, for_diagram=True)))
            return
        decisions = decisions_about(models, options)
        if options["json"]:
            self.stdout.write(json.dumps([one._asdict() for one in decisions], indent=2))
        else:
            self.stdout.write(routing_table(decisions))


def decisions_about(models: list[type[Model]], options: dict[str, Any]) -> list[Decision]:
    """The rule, or what holds for the targets that the options name."""
    targets = get_targets()
    return explain(models, targets.each(options)) if targets.are_named(options) else explain_rule(models)


def models_named(names: list[str]) -> list[type[Model]]:
    models = every_model()
    known = {model._meta.label_lower for model in models} | set(apps.app_configs)
    if unknown := [name for name in names if name.lower() not in known]:
        labels = ", ".join(sorted({model._meta.app_label for model in models}))
        raise CommandError(f"No app or model is called {', '.join(unknown)}. Apps with models: {labels}.")
    wanted = {name.lower() for name in names}
    return [model for model in models if not wanted or wanted & {model._meta.label_lower, model._meta.app_label}]
