/**
 * The values of one line, as the flags of Azure's program are read: in quotes one may hold commas, and each quote twice.
 * Undefined where a quote stands wrong. Source: RFC 4180, section 2.
 */
export function csvFields(line: string): string[] | undefined {
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  const fields: string[] = [];
  while (true) {
    const [, quoted, plain = '', end] = field.exec(line) ?? [];
    if (end === undefined) return undefined;
    fields.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === '') return fields;
  }
}
