import { sql } from 'kysely';
import type { Database, Transaction } from '../../src/platform/database/database.ts';

/** What a program relies on in a schema: by table, its columns (`type`, whether they may be left out), and what must be unique or refer. */
export type SchemaShape = ReadonlyMap<string, TableShape>;
export type TableShape = {
  readonly columns: ReadonlyMap<
    string,
    { readonly type: string; readonly isNullable: boolean; readonly mayBeLeftOut: boolean }
  >;
  readonly rules: ReadonlySet<string>;
};

/** Takes every table away; the transaction is to be rolled back. */
export async function dropEverything(tx: Transaction, kind: Database['kind']): Promise<void> {
  if (kind === 'postgres') {
    await sql`drop schema public cascade`.execute(tx);
    await sql`create schema public`.execute(tx);
    return;
  }
  for (const table of await tableNames(tx, kind)) await sql`drop table ${sql.table(table)}`.execute(tx);
}

export async function shapeOf(tx: Transaction, kind: Database['kind']): Promise<SchemaShape> {
  const tables = await tableNames(tx, kind);
  const shapes = new Map<string, TableShape>();
  for (const table of tables)
    shapes.set(table, kind === 'sqlite' ? await sqliteShape(tx, table) : await postgresShape(tx, table));
  return shapes;
}

/** What a program that knows `before` would stumble over in `after`; empty when all of it was only added to. */
export function breaks(before: SchemaShape, after: SchemaShape): string[] {
  return [...before].flatMap(([name, old]) => {
    const now = after.get(name);
    return now === undefined ? [`${name} is gone`] : tableBreaks(name, old, now);
  });
}

function tableBreaks(name: string, old: TableShape, now: TableShape): string[] {
  const found: string[] = [];
  for (const [column, { type, isNullable }] of old.columns) {
    const same = now.columns.get(column);
    if (same?.type !== type) found.push(`${name}.${column} is gone or of another type`);
    else if (isNullable && !same.isNullable) found.push(`${name}.${column} may no longer be null`);
  }
  for (const [column, { mayBeLeftOut }] of now.columns)
    if (!old.columns.has(column) && !mayBeLeftOut) found.push(`${name}.${column} is new and must be given`);
  for (const rule of now.rules.symmetricDifference(old.rules)) found.push(`${name}: ${rule}`);
  return found;
}

async function tableNames(tx: Transaction, kind: Database['kind']): Promise<string[]> {
  const query =
    kind === 'sqlite'
      ? sql<{
          name: string;
        }>`select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by rowid desc`
      : sql<{
          name: string;
        }>`select table_name::text as name from information_schema.tables where table_schema = 'public'`;
  return (await query.execute(tx)).rows.map(({ name }) => name);
}

async function sqliteShape(tx: Transaction, table: string): Promise<TableShape> {
  const { rows: columns } = await sql<{
    name: string;
    type: string;
    notnull: number;
    dflt_value: string | null;
  }>`select name, type, "notnull", dflt_value from pragma_table_info(${table})`.execute(tx);
  const { rows: unique } = await sql<{ rule: string }>`
    select 'unique ' || coalesce((select sql from sqlite_schema s where s.name = l.name),
      (select group_concat(i.name) from pragma_index_info(l.name) i)) as rule
    from pragma_index_list(${table}) l where l."unique" = 1`.execute(tx);
  const { rows: foreign } = await sql<{ rule: string }>`
    select 'refers ' || "from" || ' to ' || "table" || '.' || coalesce("to", '') as rule
    from pragma_foreign_key_list(${table})`.execute(tx);
  return {
    columns: new Map(
      columns.map(({ name, type, notnull, dflt_value }) => {
        const isNullable = notnull === 0;
        return [name, { type: type.toLowerCase(), isNullable, mayBeLeftOut: isNullable || dflt_value !== null }];
      }),
    ),
    rules: new Set([...unique, ...foreign].map(({ rule }) => rule)),
  };
}

async function postgresShape(tx: Transaction, table: string): Promise<TableShape> {
  const { rows: columns } = await sql<{
    name: string;
    type: string;
    nullable: string;
    fallback: string | null;
  }>`select column_name::text as name, data_type::text as type, is_nullable::text as nullable, column_default::text as fallback
     from information_schema.columns where table_schema = 'public' and table_name = ${table}`.execute(tx);
  const { rows: unique } = await sql<{ rule: string }>`
    select pg_get_indexdef(indexrelid) as rule from pg_index
    where indrelid = ${`public.${table}`}::regclass and indisunique`.execute(tx);
  const { rows: constraints } = await sql<{ rule: string }>`
    select pg_get_constraintdef(oid) as rule from pg_constraint
    where conrelid = ${`public.${table}`}::regclass and contype in ('f', 'c')`.execute(tx);
  return {
    columns: new Map(
      columns.map(({ name, type, nullable, fallback }) => {
        const isNullable = nullable === 'YES';
        return [name, { type, isNullable, mayBeLeftOut: isNullable || fallback !== null }];
      }),
    ),
    rules: new Set([...unique, ...constraints].map(({ rule }) => rule)),
  };
}
