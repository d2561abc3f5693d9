import type { Row, RowSource } from './rows.ts';

/** The uid of the installation that a database holds; undefined in an empty one. */
export async function installationOf(source: RowSource): Promise<string | undefined> {
  const [row] = await allRows(source, 'installation', ['installation_uid']);
  return row === undefined ? undefined : String(row[0]);
}

/** Where each stream of the journal stands: `<incarnation>/<seq>` by stream. */
export async function journalHeadsOf(
  source: RowSource,
): Promise<ReadonlyMap<string, { incarnation: string; seq: number }>> {
  const rows = await allRows(source, 'journal_heads', ['stream', 'incarnation', 'seq']);
  return new Map(
    rows.map(([stream, incarnation, seq]) => [String(stream), { incarnation: String(incarnation), seq: Number(seq) }]),
  );
}

async function allRows(source: RowSource, name: string, columns: readonly string[]): Promise<Row[]> {
  if (!source.tables.some((table) => table.name === name)) throw new Error(`the database has no table ${name}`);
  const all: Row[] = [];
  for await (const rows of source.rows({ name, columns })) all.push(...rows);
  return all;
}
