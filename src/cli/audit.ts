import { z } from 'zod';
import type { AuditFinding, AuditQuery, AuditRow } from '../wire/events/audit-schema.ts';
import { type Command, type CommandContext, exitCodes, type Given, jsonOption, type Option } from './command.ts';
import { table } from './table.ts';

const filters: readonly (Option & { readonly name: string })[] = [
  {
    name: 'registry',
    meaning: 'of this registry; without it what belongs to none: sign-ins, changes of the installation',
    value: 'NAME',
  },
  { name: 'identity', meaning: 'name or uid of who did it', value: 'WHO' },
  { name: 'operation', meaning: 'Push, Pull, Untag, Delete, Login, Denied, ...', value: 'NAME' },
  { name: 'repository', meaning: 'in this repository', value: 'NAME' },
  { name: 'address', meaning: 'from this address', value: 'IP' },
  { name: 'result', meaning: 'Succeeded or Failed', value: 'RESULT' },
  { name: 'tag', meaning: 'of this tag', value: 'TAG' },
  { name: 'digest', meaning: 'of this digest', value: 'DIGEST' },
  { name: 'from', meaning: 'from this time on: 2030-01-31T12:00:00Z', value: 'TIME' },
  { name: 'to', meaning: 'before this time', value: 'TIME' },
];

export const auditCommands: readonly Command[] = [
  {
    words: ['audit', 'list'],
    purpose: 'show who did what, newest first',
    options: [...filters, { name: 'limit', meaning: 'lines at most (default: 50)', value: 'N' }, jsonOption],
    run: async (context, given) => {
      const limit = given.option('limit') ?? '50';
      if (!/^[1-9]\d{0,6}$/.test(limit)) {
        context.complain('--limit needs a number');
        return exitCodes.usage;
      }
      const rows: AuditRow[] = [];
      for await (const row of rowsOf(context, given)) if (rows.push(row) >= Number(limit)) break;
      if (given.isSet('json')) context.print(JSON.stringify(rows, null, 2));
      else context.print(table(['TIME', 'OPERATION', 'RESULT', 'WHO', 'FROM', 'WHAT'], rows.map(cellsOf)));
      return exitCodes.done;
    },
  },
  {
    words: ['audit', 'export'],
    purpose: 'print everything as JSON lines, newest first',
    options: filters,
    run: async (context, given) => {
      for await (const row of rowsOf(context, given)) context.print(JSON.stringify(row));
      return exitCodes.done;
    },
  },
  {
    words: ['audit', 'verify'],
    purpose: 'check that nothing of the audit was changed, left out or inserted',
    options: [jsonOption],
    run: async (context, given) => {
      let [streams, broken] = [0, 0];
      for await (const finding of (await context.connect()).auditVerify()) {
        streams += 1;
        if (finding.kind === 'broken') broken += 1;
        const name = [finding.source, finding.stream].filter((each) => each !== '').join(' ');
        if (given.isSet('json')) context.print(JSON.stringify(finding));
        else if (finding.kind === 'whole') context.print(`whole   ${name}: ${finding.count}${moreText(finding)}`);
        else context.print(`BROKEN  ${name} at ${finding.at}: ${finding.reason}`);
      }
      if (!given.isSet('json'))
        context.print(broken === 0 ? `${streams} checked, all whole` : `${broken} of ${streams} broken`);
      return broken === 0 ? exitCodes.done : exitCodes.failed;
    },
  },
  {
    words: ['audit', 'accept'],
    purpose: 'after a restore of an older backup: no longer expect what was signed after it',
    options: [],
    run: async (context) => {
      const { missing } = await (await context.connect()).auditAccept();
      context.print(
        missing === null
          ? 'nothing to accept: the database has every checkpoint that the blob store was told of'
          : `checkpoints ${missing.first} to ${missing.last} are not expected any longer; the audit says so`,
      );
      return exitCodes.done;
    },
  },
];

function moreText({ removed, reason }: AuditFinding): string {
  const removedText = removed === 0 ? '' : `, and ${removed} that --audit-retention removed`;
  return reason === null ? removedText : `${removedText}; ${reason}`;
}

/** Page after page. */
async function* rowsOf(context: CommandContext, given: Given): AsyncGenerator<AuditRow, void, undefined> {
  const client = await context.connect();
  const entries = filters
    .filter(({ name }) => name !== 'registry')
    .map(({ name }) => [name, given.option(name)] as const);
  const query: AuditQuery = Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await client.auditPage(given.option('registry'), {
      ...query,
      limit: '1000',
      ...(cursor === undefined ? {} : { cursor }),
    });
    yield* page.value;
    cursor = page.next;
  }
}

function cellsOf(row: AuditRow): string[] {
  const reference = row.Tag === '' ? row.Digest.slice(0, 19) : row.Tag;
  const what = [row.Repository, reference].filter((each) => each !== '').join(':') || runTextOf(row);
  const times = row.Times > 1 ? ` (${row.Times} times)` : '';
  return [
    row.TimeGenerated.slice(0, 19),
    row.OperationName,
    row.ResultDescription,
    row.PrincipalKind === 'registryAdmin' ? `${row.Identity} (admin account)` : row.Identity,
    row.CallerIpAddress,
    `${what}${row.Reason === '' ? '' : ` ${row.Reason}`}${times}`.trim(),
  ];
}

const runSchema = z.object({ runId: z.string(), status: z.string() });

/** Which run of a build, and how it then stood. */
function runTextOf({ OperationName, Detail }: AuditRow): string {
  const run = OperationName.startsWith('run.') ? runSchema.safeParse(Detail).data : undefined;
  return run === undefined ? '' : `run ${run.runId} ${run.status}`;
}
