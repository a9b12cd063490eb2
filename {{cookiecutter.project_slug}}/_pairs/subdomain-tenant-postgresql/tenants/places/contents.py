"""What is in some schemas of a PostgreSQL database, in words that can be compared."""

from collections import defaultdict
from collections.abc import Hashable

from django.db.backends.utils import CursorWrapper

from tenants.places.kinds import Contents

# Of each kind of object, its name and all that is known of it but for oids.
DEFINITIONS = """
SELECT 'the relation ' || relname, concat_ws(' ', relkind, relpersistence, relrowsecurity, reloptions, relacl,
        obj_description(pg_class.oid, 'pg_class'))
    FROM pg_class JOIN place ON place.oid = relnamespace
UNION ALL SELECT 'the column ' || relname || '.' || attname, concat_ws(' ', attnum, format_type(atttypid, atttypmod),
        attnotnull, attidentity, attgenerated, attcollation::regcollation, pg_get_expr(adbin, adrelid),
        col_description(attrelid, attnum), attacl)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN place ON place.oid = relnamespace
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped AND relkind <> 'i'
UNION ALL SELECT 'the constraint ' || conname, concat_ws(' ', conrelid::regclass,
        pg_get_constraintdef(pg_constraint.oid), convalidated)
    FROM pg_constraint JOIN place ON place.oid = connamespace
UNION ALL SELECT 'the index ' || indexrelid::regclass, concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid)
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN place ON place.oid = relnamespace
UNION ALL SELECT 'the trigger ' || tgname, concat_ws(' ', pg_get_triggerdef(pg_trigger.oid), tgenabled)
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid JOIN place ON place.oid = relnamespace
    WHERE NOT tgisinternal
UNION ALL SELECT 'the function ' || pg_proc.oid::regprocedure, pg_get_functiondef(pg_proc.oid)
    FROM pg_proc JOIN place ON place.oid = pronamespace WHERE prokind IN ('f', 'p')
UNION ALL SELECT 'the view ' || relname, pg_get_viewdef(pg_class.oid)
    FROM pg_class JOIN place ON place.oid = relnamespace WHERE relkind IN ('v', 'm')
UNION ALL SELECT 'the type ' || typname, concat_ws(' ', typtype, format_type(typbasetype, typtypmod), typnotnull,
        typdefault,
        (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = pg_type.oid))
    FROM pg_type JOIN place ON place.oid = typnamespace WHERE typtype IN ('d', 'e', 'r')
UNION ALL SELECT 'the policy ' || polname, concat_ws(' ', polrelid::regclass, polcmd, polpermissive,
        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid JOIN place ON place.oid = relnamespace
UNION ALL SELECT 'the sequence ' || sequencename, concat_ws(' ', start_value, min_value, max_value, increment_by, cycle,
        cache_size, last_value)
    FROM pg_sequences JOIN place ON nspname = schemaname
UNION ALL SELECT 'the extension ' || extname, extversion
    FROM pg_extension JOIN place ON place.oid = extnamespace
"""
# Each table with its columns, but for dates: those of two migrations are never the same.
COLUMNS = """
SELECT nspname, relname,
       array_agg(quote_ident(attname) || '::text' ORDER BY attnum)
       FILTER (WHERE typname NOT IN ('date', 'time', 'timetz', 'timestamp', 'timestamptz'))
FROM pg_class JOIN place ON place.oid = relnamespace
     LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
     LEFT JOIN pg_type ON pg_type.oid = atttypid
WHERE relkind = 'r' GROUP BY nspname, relname
"""
OF_PLACE = "WITH place AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY(%s)) "


def contents_of(cursor: CursorWrapper, schemas: list[str], place: str = "") -> Contents:
    """``place`` is a schema's name that says only which place this is: definitions are given without it."""
    definitions: dict[str, list[str]] = defaultdict(list)
    cursor.execute(OF_PLACE + DEFINITIONS, [schemas])
    for name, definition in cursor.fetchall():
        definitions[without(name, place)].append(without(definition, place))
    found: dict[str, Hashable] = {name: tuple(sorted(texts)) for name, texts in definitions.items()}
    cursor.execute(OF_PLACE + COLUMNS, [schemas])
    quote = cursor.db.ops.quote_name
    for schema, table, columns in cursor.fetchall():
        cursor.execute(f"SELECT {', '.join(columns or ['NULL'])} FROM {quote(schema)}.{quote(table)}")
        found[f"a row of {table}"] = tuple(sorted(map(repr, cursor.fetchall())))
    return found


def without(text: str, place: str) -> str:
    return text.replace(place, "") if place else text
