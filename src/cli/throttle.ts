import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseByteSize } from '../core/byte-size.ts';
import { parseDuration } from '../core/duration.ts';
import { type ThrottledSku, throttledSkus, throttleTableNames } from '../core/throttle-limits.ts';
import { type PastLoad, ThrottleReplay } from '../core/throttle-replay.ts';
import type { RegistryUpdate } from '../wire/admin/registry-schema.ts';
import { type Command, type CommandContext, type ExitCode, exitCodes, type Given, jsonOption } from './command.ts';
import { registryTable } from './registry.ts';
import { RequestLog } from './request-log.ts';
import { table } from './table.ts';

const name = { name: 'name', meaning: 'registry name' };

export const throttleCommands: readonly Command[] = [
  {
    words: ['registry', 'throttling'],
    purpose: 'hold the requests to a registry to the figures of its SKU, or stop to',
    operands: [name, { name: 'switch', meaning: 'on or off', choices: ['on', 'off'] }],
    options: [jsonOption],
    run: (context, given) => update(context, given, { throttlingEnabled: given.operand('switch') === 'on' }),
  },
  {
    words: ['registry', 'storage-limit'],
    purpose: 'set how much a registry may have in use',
    operands: [name, { name: 'size', meaning: 'such as 2TiB, or default for what its SKU may' }],
    options: [jsonOption],
    run: async (context, given) => {
      const storageLimitBytes = limitOf(given.operand('size'));
      if (storageLimitBytes !== undefined) return await update(context, given, { storageLimitBytes });
      context.complain('size: a whole number with B, KiB, MiB, GiB or TiB is needed, such as 2TiB, or default');
      return exitCodes.usage;
    },
  },
  {
    words: ['throttle', 'replay'],
    purpose: 'say what of the requests in a log would have been refused',
    operands: [
      { name: 'log', meaning: 'log of a server, written with --log-level debug --log-format json; - for input' },
    ],
    options: [{ name: 'sku', meaning: 'Basic (unless given), Standard or Premium', value: 'SKU' }, jsonOption],
    settings: ['config', 'throttle-table', 'throttle-pause'],
    run: replay,
  },
];

async function update(context: CommandContext, given: Given, change: RegistryUpdate): Promise<ExitCode> {
  const registry = await (await context.connect()).registryUpdate(given.operand('name'), change);
  context.print(given.isSet('json') ? JSON.stringify(registry, null, 2) : registryTable([registry]));
  return exitCodes.done;
}

/** Bytes; null for the default; undefined for what is neither. */
function limitOf(text: string): number | null | undefined {
  if (text === 'default') return null;
  try {
    return parseByteSize(text);
  } catch {
    return undefined;
  }
}

async function replay(context: CommandContext, given: Given): Promise<ExitCode> {
  const asked = given.option('sku') ?? 'Basic';
  const sku = throttledSkus.find((known) => known.toLowerCase() === asked.toLowerCase());
  if (sku === undefined) {
    context.complain(`--sku: one of ${throttledSkus.join(', ')} is needed`);
    return exitCodes.usage;
  }
  const log = new RequestLog();
  const past = new ThrottleReplay(rulesOf(context));
  try {
    for await (const line of linesOf(given.operand('log'))) {
      const request = log.read(line);
      if (request !== undefined) past.add(request);
    }
  } catch (error) {
    context.complain(`berth: ${error instanceof Error ? error.message : String(error)}`);
    return exitCodes.failed;
  }
  if (log.requests === 0) {
    context.complain('berth: the log tells of no requests: write it with --log-level debug --log-format json');
    return exitCodes.failed;
  }
  const loads = past.loads().map((load) => ({ ...load, identityName: log.nameOf(load.identity) }));
  if (given.isSet('json')) context.print(JSON.stringify({ ...summaryOf(loads, sku), loads }, null, 2));
  else context.print([rowsOf(loads, sku), '', sentenceOf(summaryOf(loads, sku))].join('\n'));
  return exitCodes.done;
}

/** As the server would have it, by the same settings. */
function rulesOf(context: CommandContext) {
  const values = new Map(context.settings().map(({ name: setting, value }) => [setting, value]));
  const known = throttleTableNames.find((each) => each === values.get('throttle-table'));
  return { table: known ?? 'current', pauseMs: parseDuration(values.get('throttle-pause') ?? '60s') };
}

function linesOf(path: string): AsyncIterable<string> {
  const input = path === '-' ? process.stdin : createReadStream(path);
  return createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
}

type NamedLoad = PastLoad & { readonly identityName: string };
type Summary = {
  readonly sku: ThrottledSku;
  readonly requests: number;
  readonly refused: number;
  /** Null where even the largest would have refused some. */
  readonly smallestSku: ThrottledSku | null;
};

function summaryOf(loads: readonly PastLoad[], sku: ThrottledSku): Summary {
  const ofAll = loads.filter((load) => load.identity === '');
  const refused = (by: ThrottledSku) => ofAll.reduce((sum, load) => sum + load.refused[by], 0);
  return {
    sku,
    requests: ofAll.reduce((sum, load) => sum + load.requests, 0),
    refused: refused(sku),
    smallestSku: throttledSkus.find((each) => refused(each) === 0) ?? null,
  };
}

function rowsOf(loads: readonly NamedLoad[], sku: ThrottledSku): string {
  const rows = loads.map((load) => [
    load.registry,
    load.identity === '' ? '(all)' : load.identityName,
    load.requestClass,
    String(load.requests),
    String(load.peak),
    String(load.refused[sku]),
    load.by[sku].map(({ bucket, of, perMinute }) => `${perMinute} ${bucket} of the ${of}`).join('; '),
  ]);
  return table(['REGISTRY', 'IDENTITY', 'CLASS', 'REQUESTS', 'PEAK/MIN', 'REFUSED', 'BY'], rows);
}

function sentenceOf({ sku, requests, refused, smallestSku }: Summary): string {
  const would = `${sku} would have refused ${refused} of ${requests} requests.`;
  if (smallestSku === null) return `${would} Even Premium would have refused some.`;
  return `${would} The smallest SKU that refuses none is ${smallestSku}.`;
}
