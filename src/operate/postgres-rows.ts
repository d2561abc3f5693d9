import { Client, type CustomTypesConfig, types as standardTypes } from 'pg';
import {
  isOfMigrator,
  quotedName,
  type Row,
  type RowSink,
  type RowSource,
  readValue,
  requireSameSchema,
  type Table,
} from './rows.ts';

const pageRows = 500;
/** Source: PostgreSQL 15 manual, "PostgreSQL Limits". */
const maxParameters = 60_000;
const connectTimeoutMs = 10_000;

/** Reads a PostgreSQL database in one repeatable-read transaction: all of it is of one moment. */
export async function openPostgresSource(url: string): Promise<RowSource> {
  const client = await connect(url);
  try {
    await client.query('begin isolation level repeatable read read only');
    return {
      tables: await tablesOf(client),
      migrations: await migrationsOf(client),
      rows: (table) => rowsOf(client, table),
      close: () => client.end(),
    };
  } catch (error) {
    await client.end();
    throw error;
  }
}

export async function openPostgresSink(url: string): Promise<RowSink> {
  const client = await connect(url);
  const migrations = await migrationsOf(client);
  return {
    migrations,
    replaceAll: async (source, afterwards) => {
      requireSameSchema(source, { migrations });
      const counts = new Map<string, number>();
      await client.query('begin');
      try {
        await client.query(`truncate ${source.tables.map((table) => quotedName(table.name)).join(', ')}`);
        for (const table of await inOrder(client, source.tables))
          counts.set(table.name, await insertAll(client, source, table));
        await afterwards(async (sql) => {
          await client.query(sql);
        });
        await client.query('commit');
      } catch (error) {
        await client.query('rollback');
        throw error;
      }
      return counts;
    },
    close: () => client.end(),
  };
}

async function insertAll(client: Client, source: RowSource, { name, columns }: Table): Promise<number> {
  const rowsAtOnce = Math.max(1, Math.floor(maxParameters / columns.length));
  let count = 0;
  for await (const page of source.rows({ name, columns })) {
    for (let start = 0; start < page.length; start += rowsAtOnce) {
      const rows = page.slice(start, start + rowsAtOnce);
      const places = rows.map((_, row) => `(${columns.map((_, column) => `$${row * columns.length + column + 1}`)})`);
      const sql = `insert into ${quotedName(name)} (${columns.map(quotedName).join(', ')}) values ${places.join(', ')}`;
      await client.query(sql, rows.flat());
      count += rows.length;
    }
  }
  return count;
}

async function* rowsOf(client: Client, { name, columns }: Table): AsyncGenerator<readonly Row[]> {
  await client.query(
    `declare page no scroll cursor for select ${columns.map(quotedName).join(', ')} from ${quotedName(name)}`,
  );
  while (true) {
    const { rows } = await client.query<unknown[]>({ text: `fetch ${pageRows} from page`, rowMode: 'array' });
    if (rows.length === 0) break;
    yield rows.map((row) => row.map(readValue));
  }
  await client.query('close page');
}

/** Tables that others refer to come first. */
async function inOrder(client: Client, tables: readonly Table[]): Promise<Table[]> {
  const { rows } = await client.query<{ child: string; parent: string }>(
    `select c.relname as child, p.relname as parent from pg_constraint f
     join pg_class c on c.oid = f.conrelid join pg_class p on p.oid = f.confrelid where f.contype = 'f'`,
  );
  const done: Table[] = [];
  let left = [...tables];
  while (left.length > 0) {
    const names = new Set(left.map((table) => table.name));
    const isFree = ({ name }: Table) =>
      !rows.some((row) => row.child === name && row.parent !== name && names.has(row.parent));
    const free = left.filter(isFree);
    if (free.length === 0) throw new Error('tables refer to each other in a circle');
    done.push(...free);
    left = left.filter((table) => !free.includes(table));
  }
  return done;
}

async function tablesOf(client: Client): Promise<Table[]> {
  const { rows } = await client.query<{ name: string; columns: string[] }>(
    `select table_name::text as name, array_agg(column_name::text order by ordinal_position) as columns
     from information_schema.columns where table_schema = current_schema() group by table_name order by table_name`,
  );
  return rows.filter((table) => !isOfMigrator(table.name));
}

async function migrationsOf(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>('select name::text from kysely_migration order by name');
  return rows.map((row) => row.name);
}

async function connect(url: string): Promise<Client> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    types,
  });
  client.on('error', () => {
    // The query that is under way gets it.
  });
  await client.connect();
  return client;
}

/** 64-bit integers come as numbers: all of ours stay below 2^53. */
const types: CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === standardTypes.builtins.INT8 && format !== 'binary' ? Number : standardTypes.getTypeParser(oid, format),
};
