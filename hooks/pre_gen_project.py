"""Refuse answers that cannot become a working project.

Every error is reported in one go, each with the answer that would do, and the command to type at the end.
Cookiecutter renders this file before running it: `"%r" | format` makes a Python literal of any answer.
"""

import os
import re
import sys
import unicodedata
from pathlib import Path

ANSWERS = {
    "project_name": {{"%r" | format(cookiecutter.project_name)}},
    "project_slug": {{"%r" | format(cookiecutter.project_slug)}},
    "description": {{"%r" | format(cookiecutter.description)}},
    "author_name": {{"%r" | format(cookiecutter.author_name)}},
    "domain_name": {{"%r" | format(cookiecutter.domain_name)}},
    "topology": {{"%r" | format(cookiecutter.topology)}},
    "database_engine": {{"%r" | format(cookiecutter.database_engine)}},
    "tenant_isolation": {{"%r" | format(cookiecutter.tenant_isolation)}},
}
KNOWN_VARIABLES = {{"%r" | format(cookiecutter.keys() | list)}}
TEMPLATE = {{"%r" | format(cookiecutter.get("_template", ""))}}

TEXTS = ("project_name", "description", "author_name")
SLUG = re.compile(r"[a-z]([a-z0-9_-]{0,38}[a-z0-9])?")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# A project with one of these names would shadow a package, depend on itself, or claim a server's database.
PACKAGES = "accounts billing catalogue config dbrouting demo orders outbox reference tenants tests"
DEPENDENCIES = """
asgiref django django-dynamic-db-router django-environ django-migration-linter django-stubs django-stubs-ext
dynamic-db-router environ factory factory-boy faker gunicorn hypothesis mypy mysqlclient pre-commit psycopg
psycopg-binary psycopg-pool pymysql pytest pytest-django pytest-xdist ruff sqlparse tqdm types-pymysql types-tqdm tzdata
uvicorn
"""
SERVER_DATABASES = "information-schema mysql performance-schema postgres sys template0 template1"
RESERVED = frozenset(f"{PACKAGES} {DEPENDENCIES} {SERVER_DATABASES}".split())

# Cookiecutter's options that take their value from the next word.
SHORT_OPTIONS = ("-c", "-o")
LONG_OPTIONS = ("--accept-hooks", "--checkout", "--config-file", "--debug-file", "--directory", "--output-dir")
OPTIONS_WITH_VALUE = (*SHORT_OPTIONS, *LONG_OPTIONS, "--replay-file")


def validate_variable_names(answers):
    """Cookiecutter drops a variable it does not know without a word, and the default is generated instead."""
    from difflib import get_close_matches

    _, typed = typed_words()
    from_replay = {name: "" for name in KNOWN_VARIABLES if not name.startswith("_") and name not in answers}
    for name, value in {**from_replay, **typed}.items():
        if name in KNOWN_VARIABLES and name not in from_replay:
            continue
        nearest = next(iter(get_close_matches(name, answers, n=1)), None)
        if nearest is None:
            yield f"{name!r} is not a variable of this template; there are: {', '.join(answers)}.", {}
        else:
            yield f"{name!r} is not a variable of this template; did you mean {nearest!r}?", {nearest: value}


def validate_texts(answers):
    """A line break or control character would end the TOML, YAML or .env value the text is put in."""
    for variable in TEXTS:
        text = answers[variable]
        clean = " ".join("".join(" " if is_control(character) else character for character in text).split())
        if any(map(is_control, text)):
            yield f"{variable} holds a line break or control character.", {variable: clean}
    if not answers["project_name"].strip():
        yield "project_name is empty.", {"project_name": "My Shop"}


def validate_slug(answers):
    slug = answers["project_slug"]
    if not SLUG.fullmatch(slug):
        yield (
            f"project_slug {slug!r} must be lower-case ASCII letters, digits, - and _, start with a letter,"
            " end with a letter or digit, and have at most 40 characters.",
            {"project_slug": possible_slug(slug)},
        )
    elif re.sub(r"[-_]+", "-", slug) in RESERVED:
        yield (
            f"project_slug {slug!r} is the name of a package the project uses, or of a server's own database.",
            {"project_slug": possible_slug(f"{slug}-site")},
        )


def validate_domain(answers):
    domain = answers["domain_name"]
    if is_host(domain):
        return
    suggestion = possible_domain(domain)
    if not domain.isascii():
        yield f"domain_name {domain!r} must be written in punycode.", {"domain_name": suggestion}
    else:
        yield (
            f"domain_name {domain!r} must be a bare host name in lower case: labels of letters, digits and -,"
            " without scheme, port, path or wildcard.",
            {"domain_name": suggestion},
        )


def validate_schema_needs_postgresql_tenants(answers):
    if answers["tenant_isolation"] != "schema":
        return
    if answers["topology"] != "subdomain-tenant" or answers["database_engine"] != "postgresql":
        yield (
            "tenant_isolation 'schema' needs topology 'subdomain-tenant' on database_engine 'postgresql'.",
            {"tenant_isolation": "database"},
        )


VALIDATORS = (
    validate_variable_names,
    validate_texts,
    validate_slug,
    validate_domain,
    validate_schema_needs_postgresql_tenants,
)


def is_control(character):
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


def is_host(domain):
    labels = domain.split(".")
    return len(domain) <= 253 and all(map(LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def possible_slug(text):
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9_]+", "-", ascii_text)
    slug = re.sub(r"^[^a-z]+", "", words)[:40].rstrip("-_")
    return slug if slug and slug not in RESERVED else "my-shop"


def possible_domain(text):
    host = re.sub(r"^[a-z]+://", "", text.strip().lower())
    host = re.split(r"[/:?#]", host)[0].removeprefix("*.").strip(".")
    try:
        host = host.encode("idna").decode()
    except UnicodeError:
        return "example.com"
    return host if is_host(host) else "example.com"


def typed_words():
    """The options and the `name=value` pairs of cookiecutter's command line, empty if it was called from Python."""
    words = iter(words_after_cookiecutter())
    options, pairs, template_seen = [], {}, False
    for word in words:
        if word in OPTIONS_WITH_VALUE:
            options += [word, next(words, "")]
        elif word.startswith("-"):
            options.append(word)
        elif not template_seen:
            template_seen = True
        elif "=" in word:
            name, _, value = word.partition("=")
            pairs[name] = value
    return options, pairs


def words_after_cookiecutter():
    """A hook is a child of cookiecutter: the command line of the parent says what the user typed.

    Windows puts a shell in between, and a call from Python has no command line: there a misspelt name passes.
    """
    interpreter, *words = parent_command_line() or [""]
    if Path(interpreter).stem == "cookiecutter":
        return words
    while words and words[0].startswith("-"):
        words.pop(0)
    return words[1:] if words and Path(words[0]).stem == "cookiecutter" else []


def parent_command_line():
    if os.name != "posix":
        return []
    try:
        return Path(f"/proc/{os.getppid()}/cmdline").read_text("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return words_from_ps()


def words_from_ps():
    """`ps` joins the words with blanks: glue back together what cannot start a word of its own."""
    with os.popen(f"ps -ww -o args= -p {os.getppid()}") as output:
        words = output.read().split()
    glued = []
    for word in words:
        if glued and "=" in glued[-1] and not re.match(r"-|\w+=", word):
            glued[-1] += f" {word}"
        else:
            glued.append(word)
    return glued


def corrected_command(answers, corrections):
    """What the user typed, with the corrections in place; all the answers if there were prompts or a replay."""
    from shlex import quote

    options, typed = typed_words()
    without_replay = [word for word in options if not word.startswith("--replay")]
    repeated = typed if "--no-input" in options else answers
    kept = {name: answers[name] for name in repeated if name in answers}
    if "--no-input" not in options:
        without_replay = ["--no-input", *(without_replay if len(without_replay) == len(options) else [])]
    words = ["cookiecutter", *without_replay, TEMPLATE]
    words += [f"{name}={value}" for name, value in {**kept, **corrections}.items()]
    return " ".join(map(quote, words))


def main():
    problems = [problem for validate in VALIDATORS for problem in validate(ANSWERS)]
    if not problems:
        return
    corrections = {}
    lines = ["", f"Nothing was generated: {len(problems)} answer(s) need a change.", ""]
    for number, (message, better) in enumerate(problems, start=1):
        lines.append(f"  {number}. {message}")
        lines += [f"     Instead: {name}={value}" for name, value in better.items() if value]
        corrections.update(better)
    lines += ["", "Type:", "", f"  {corrected_command(ANSWERS, corrections)}", ""]
    sys.exit("\n".join(lines))


main()
