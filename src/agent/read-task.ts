import { join } from 'node:path/posix';
import type { Outbound } from '../platform/outbound/outbound.ts';
import type { RunOrder, RunVariables, VaultSecrets } from '../wire/builds/agent-protocol.ts';
import type { TaskTextInput } from '../wire/tasks/task-text.ts';
import type { VaultSecret } from '../wire/tasks/vault-secret.ts';
import { withoutSecrets } from './context/location.ts';
import type { Parse } from './early-programs.ts';
import type { Cell } from './executors/cell.ts';
import type { TaskRead } from './parsers.ts';
import { hasTemplates, taskOfBuild } from './quick-build.ts';
import { RunFailure, reasonOf } from './run-failure.ts';
import type { RunLog } from './run-log.ts';

export type TaskSurroundings = {
  readonly run: RunVariables;
  readonly sharedVolume: string;
  readonly now: Date;
  readonly cell: Cell;
  readonly workspace: string;
  readonly log: RunLog;
  readonly outbound: Pick<Outbound, 'call'>;
  readonly parse: Parse;
  readonly readSecrets: (secrets: readonly VaultSecret[], signal: AbortSignal) => Promise<VaultSecrets>;
  readonly signal: AbortSignal;
};

/** `masked` are texts that the log must not show, beside those of the order. */
export type ReadTask = TaskRead & { readonly masked: readonly string[] };

const maxTaskBytes = 1024 * 1024;
/** Source: ACR tasks, 2.11. */
const aliasTimeoutMs = 2_000;

/** What a run does, read from its order and its files. Throws RunFailure, TaskError. Source: ACR tasks, 2.2. */
export async function readTask(order: RunOrder, around: TaskSurroundings): Promise<ReadTask> {
  const { work } = order;
  const { run, now, sharedVolume, log } = around;
  if (work.kind === 'dockerBuild') {
    const input = { work, run, platforms: order.platforms, now };
    // Most have none, and a program of its own costs what the rest of a small build does.
    const task = hasTemplates(work) ? await around.parse('quickBuild', input, around) : taskOfBuild(input);
    return { task, aliases: new Map(), masked: [] };
  }
  const file = (name: string) => workspaceFile(around, name);
  const text = work.kind === 'fileTask' ? await file(work.taskFile) : work.content;
  const values = work.kind === 'fileTask' ? work.valuesFile : undefined;
  const valuesText =
    work.kind === 'encodedTask' ? work.valuesContent : values === undefined ? undefined : await file(values);
  const input = {
    ...{ text, valuesText, now },
    values: work.values,
    // Linux has no version that images are told apart by.
    run: { ...run, SharedVolume: sharedVolume, OSVersion: '' },
    aliasSources: await aliasSources(order, around, text),
  };
  const { secrets, masked } = await secretsOf(input, around);
  const read = await around.parse('task', { ...input, secrets }, around);
  if (read.aliases.size > 0) {
    log.say(
      'Alias support enabled for version >= 1.1.0, please see https://aka.ms/acr/tasks/task-aliases for more information.',
    );
  }
  return { ...read, masked };
}

/** By id: what key vaults keep of those that the task names. Source: ACR tasks, 2.2. */
async function secretsOf(
  input: Omit<TaskTextInput, 'secrets'>,
  around: TaskSurroundings,
): Promise<{ readonly secrets: TaskTextInput['secrets']; readonly masked: readonly string[] }> {
  const none = { secrets: {}, masked: [] };
  if (!input.text.includes('secrets')) return none;
  const asked = await around.parse('vaultSecrets', { ...input, secrets: {} }, around);
  if (asked.length === 0) return none;
  const answer = await around.readSecrets(asked, around.signal);
  if ('refusal' in answer) throw new RunFailure(answer.refusal);
  for (const text of answer.masked) around.log.hide(text);
  return { secrets: Object.fromEntries(answer.values.map(({ id, value }) => [id, value])), masked: answer.masked };
}

/** By file of the context or address, as the task names them. */
async function aliasSources(
  { hasNetwork }: RunOrder,
  around: TaskSurroundings,
  text: string,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  if (!text.includes('alias')) return found;
  for (const source of await around.parse('aliasSources', text, around)) {
    const isAddress = /^https?:/i.test(source);
    if (isAddress && !hasNetwork)
      throw new RunFailure(`cannot fetch the aliases of ${withoutSecrets(source)}: builds have no network here`);
    found.set(source, isAddress ? await fetched(around, source) : await workspaceFile(around, source));
  }
  return found;
}

async function fetched({ outbound, signal }: TaskSurroundings, url: string): Promise<string> {
  try {
    const limits = { maxBytes: maxTaskBytes, timeoutMs: aliasTimeoutMs, totalTimeoutMs: aliasTimeoutMs, signal };
    const answer = await outbound.call({ url, ...limits });
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer.body) chunks.push(chunk);
    if (answer.status !== 200) throw new Error(`it answered ${answer.status}`);
    return Buffer.concat(chunks).toString('utf8');
  } catch (cause) {
    signal.throwIfAborted();
    throw new RunFailure(`cannot fetch the aliases of ${withoutSecrets(url)}: ${reasonOf(cause)}`, { cause });
  }
}

/** A file of the run's context; a link that leads out of it is not followed. */
async function workspaceFile({ cell, workspace, signal }: TaskSurroundings, name: string): Promise<string> {
  const path = (await cell.read(['realpath', '-e', '--', join(workspace, name)], { signal }).catch(() => '')).trim();
  signal.throwIfAborted();
  if (!path.startsWith(`${workspace}/`)) throw new RunFailure(`the context has no file ${name}`);
  return await cell.read(['head', '-c', String(maxTaskBytes), '--', path], { signal });
}
