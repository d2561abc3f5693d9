import { join } from 'node:path/posix';
import type { Outbound } from '../platform/outbound/outbound.ts';
import type { RunOrder, RunVariables } from '../wire/builds/agent-protocol.ts';
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
  readonly signal: AbortSignal;
};

const maxTaskBytes = 1024 * 1024;
/** Source: ACR tasks, 2.11. */
const aliasTimeoutMs = 2_000;

/** What a run does, read from its order and its files. Throws RunFailure, TaskError. Source: ACR tasks, 2.2. */
export async function readTask(order: RunOrder, around: TaskSurroundings): Promise<TaskRead> {
  const { work } = order;
  const { run, now, sharedVolume, log } = around;
  if (work.kind === 'dockerBuild') {
    const input = { work, run, platforms: order.platforms, now };
    // Most have none, and a program of its own costs what the rest of a small build does.
    const task = hasTemplates(work) ? await around.parse('quickBuild', input, around) : taskOfBuild(input);
    return { task, aliases: new Map() };
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
    secrets: {},
    aliasSources: await aliasSources(order, around, text),
  };
  const read = await around.parse('task', input, around);
  if (read.aliases.size > 0) {
    log.say(
      'Alias support enabled for version >= 1.1.0, please see https://aka.ms/acr/tasks/task-aliases for more information.',
    );
  }
  return read;
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
