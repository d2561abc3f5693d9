import { BerthError } from '../../../core/errors.ts';
import type { Clock } from '../../../platform/clock.ts';
import type { Database, Transaction } from '../../../platform/database/database.ts';
import type { Ids } from '../../../platform/ids.ts';
import type { Append, Journal } from '../../../platform/journal/journal.ts';
import type { Log } from '../../../platform/log.ts';
import type { SourceTrigger } from '../../../wire/arm/task-schema.ts';
import type { Resource } from '../../resources/resource.ts';
import { findByUid } from '../../resources/resource-store.ts';
import { findRunOfKey } from '../run-store.ts';
import type { Runs } from '../runs.ts';
import { prepareTaskRun } from '../tasks/prepare-task-run.ts';
import { contextOf, isEnabled, refOf, type StoredTask, storedTaskOf } from '../tasks/task.ts';
import type { TaskSecretParts } from '../tasks/task-secrets.ts';
import { findSourceOfHook, noteHead, repositoryKey, type TaskSource } from '../tasks/task-sources.ts';
import { ofStranger } from './fork-run.ts';
import { type GitEvent, gitEventsOf, providerOf } from './git-events.ts';
import { isSigned } from './git-signature.ts';
import { decodedPath, withoutCredentials } from './repository-path.ts';
import { headOf, lockHeads } from './source-heads.ts';

export type GitSourcesParts = TaskSecretParts & {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly runs: Pick<Runs, 'scheduleIn' | 'scheduleWithRoom'>;
};

/** A message of a git host, as it came. Header names in lower case. */
export type HookMessage = {
  readonly headers: ReadonlyMap<string, string>;
  /** Called only where a task listens: strangers have nothing kept. */
  readonly body: () => Promise<Uint8Array>;
};

/** Branch that clients name where nobody named one, so that repositories without it mean their own default. */
const clientDefaultBranch = 'master';

/** Starts tasks when something happens in their git repositories. */
export class GitSources {
  readonly #parts: GitSourcesParts;

  constructor(parts: GitSourcesParts) {
    this.#parts = parts;
  }

  /**
   * Takes a message for an address that a task was given; answers how many runs it started, or had started before. Throws
   * `hookUnknown` for an address or a signature that is not right, `requestInvalid` for a body that is no JSON, `queueFull`.
   */
  async receive(hookId: string, { headers, body }: HookMessage): Promise<number> {
    const source = await findSourceOfHook(this.#parts, this.#parts.database.read, hookId);
    if (source === undefined || source.isLeaving) throw new BerthError('hookUnknown');
    const bytes = await body();
    if (!isSigned(headers, bytes, source.secrets.secret)) throw new BerthError('hookUnknown');
    const events = gitEventsOf(providerOf(headers), headers, parseBody(bytes)).filter((each) =>
      isOfRepository(each, source),
    );
    let runs = 0;
    for (const event of await this.#wanted(source, events)) if (await this.happened(source, event)) runs += 1;
    return runs;
  }

  /** One push may tell of thousands of branches: those that the task does not wait for cost nothing. */
  async #wanted(source: TaskSource, events: readonly GitEvent[]): Promise<readonly GitEvent[]> {
    const resource = await findByUid(this.#parts.database.read, source.taskUid);
    const waiting = resource && waitingTask(resource, source);
    return waiting === undefined ? [] : events.filter((event) => isWanted(waiting.task, waiting.trigger, event));
  }

  /** Starts the task when its trigger wants the event; false when it does not. The same event twice makes one run. Throws `queueFull`. */
  async happened(source: TaskSource, event: GitEvent): Promise<boolean> {
    return await this.#parts.journal.transaction((tx, append) => this.#start(tx, append, source, event));
  }

  /**
   * The same of what a look at the repository found, unless somebody has told of the branch since the look began: what it found may be
   * older, and the next look finds what nobody told.
   */
  async found(source: TaskSource, event: GitEvent): Promise<boolean> {
    const { journal, database } = this.#parts;
    return await journal.transaction(async (tx, append) => {
      const heads = await lockHeads(tx, database.kind, source.hookId);
      if (headOf(heads, event.branch) !== headOf(source.heads, event.branch)) return false;
      return await this.#start(tx, append, source, event);
    });
  }

  async #start(tx: Transaction, append: Append, source: TaskSource, event: GitEvent): Promise<boolean> {
    const { taskUid, registryUid } = source;
    const { database, ids, runs, log } = this.#parts;
    const resource = await findByUid(tx, taskUid);
    const waiting = resource && waitingTask(resource, source);
    if (waiting === undefined || !isWanted(waiting.task, waiting.trigger, event)) return false;
    const heads = await lockHeads(tx, database.kind, source.hookId);
    if (event.eventType === 'commit') await noteHead(tx, { ...source, heads }, event.branch, event.commit);
    const { repositoryUrl, sourceControlType: providerType } = waiting.trigger.sourceRepository;
    const run = await prepareTaskRun(this.#parts, tx, {
      taskUid,
      registryUid,
      trigger: {
        kind: 'source',
        id: ids.guid(),
        eventType: event.eventType,
        commitId: event.commit,
        ...(event.pullRequestId === undefined ? {} : { pullRequestId: event.pullRequestId }),
        repositoryUrl: withoutCredentials(repositoryUrl),
        branchName: event.branch,
        providerType,
      },
      key: await this.#keyOf(tx, source, event, headOf(heads, event.branch)),
    });
    if (run === undefined) return false;
    const asked = event.isFromFork ? ofStranger(run) : run;
    // A look at the repository finds a commit again, and no pull request.
    const { run_id: runId } =
      event.eventType === 'commit'
        ? await runs.scheduleWithRoom(tx, append, asked)
        : await runs.scheduleIn(tx, append, asked);
    log.info('task started by its git repository', {
      task: waiting.name,
      event: event.eventType,
      commit: event.commit,
      isFromFork: event.isFromFork,
      runId,
    });
    return true;
  }

  /**
   * The same for an event that is told twice. A branch that moves on from `head` as it did once before, after it was set back,
   * is not told twice: there `head` is the commit that it moved to.
   */
  async #keyOf(tx: Transaction, source: TaskSource, event: GitEvent, head: string | undefined): Promise<string> {
    const { taskUid, registryUid, name } = source;
    const { pullRequestId = '', branch, before = '', commit } = event;
    const key = `git/${taskUid}/${name}/${pullRequestId}/${branch}/${before}..${commit}`;
    const isMove = before !== '' && before === head && before !== commit;
    const isAgain = isMove && (await findRunOfKey(tx, registryUid, key)) !== undefined;
    return isAgain ? `${key}/${this.#parts.ids.uid()}` : key;
  }
}

type WaitingTask = { readonly name: string; readonly task: StoredTask; readonly trigger: SourceTrigger };

/** Undefined for a task that is disabled, or waits for the repository no more. */
function waitingTask(resource: Resource, source: TaskSource): WaitingTask | undefined {
  const task = storedTaskOf(resource);
  const trigger = task.trigger?.sourceTriggers?.find((each) => each.name === source.name);
  return isEnabled(task) && trigger !== undefined ? { name: resource.name, task, trigger } : undefined;
}

/** The branch whose commits start a task: named behind the `#`, or with the trigger; undefined for the repository's default. */
export function wantedBranch(task: StoredTask, { sourceRepository }: SourceTrigger): string | undefined {
  const context = contextOf(task);
  const named = context === undefined ? undefined : refOf(context);
  // Git finds `heads/main` as it finds `refs/heads/main`. Source: gitrevisions(7).
  if (named !== undefined) return named.replace(/^(?:refs\/)?heads\//, '');
  return (sourceRepository.branch || undefined)?.replace(/^refs\/heads\//, '');
}

function isWanted(task: StoredTask, trigger: SourceTrigger, event: GitEvent): boolean {
  if (!isEnabled(trigger) || !trigger.sourceTriggerEvents.includes(event.eventType)) return false;
  const wanted = wantedBranch(task, trigger);
  if (wanted === event.branch) return true;
  return isDefaultWanted(task, wanted) && event.branch === event.defaultBranch;
}

/** Clients write `master` where nobody named a branch. */
export function isDefaultWanted(task: StoredTask, wanted: string | undefined): boolean {
  const context = contextOf(task);
  return (
    wanted === undefined || (wanted === clientDefaultBranch && (context === undefined || refOf(context) === undefined))
  );
}

/** By the path: hosts have several names. */
function isOfRepository({ addresses }: GitEvent, { secrets }: TaskSource): boolean {
  const own = pathOf(secrets.repositoryUrl);
  return addresses.length === 0 || (own !== undefined && addresses.some((each) => pathOf(each) === own));
}

/** Undefined for an address that no repository has. */
function pathOf(address: string): string | undefined {
  const key = repositoryKey(address);
  return decodedPath(URL.parse(key)?.pathname ?? key);
}

function parseBody(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    throw new BerthError('requestInvalid', 'a message of a git host is JSON');
  }
}
