import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import { type Journal, type NewEvent, tenantStreamOf } from '../../platform/journal/journal.ts';
import type { ArmErrorPart } from '../../wire/arm/error-schema.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Deployment, DeploymentError, DeploymentOperation } from './deployment.ts';
import { standingOf, writeProgress } from './deployment-store.ts';

export type ProgressionParts = { readonly database: Database; readonly journal: Journal; readonly clock: Clock };

/** What a template's run ends with when the deployment was cancelled or taken by another process. */
export class Ended extends Error {}

/** Writes how far one deployment is. */
export class Progression {
  readonly #parts: ProgressionParts;
  readonly #deployment: Deployment;
  readonly #job: JobRun;
  readonly #operations: DeploymentOperation[] = [];

  constructor(parts: ProgressionParts, deployment: Deployment, job: JobRun) {
    this.#parts = parts;
    this.#deployment = deployment;
    this.#job = job;
  }

  /** Asked before each step: an ended deployment stops, a server that stops leaves the rest to its next start. Throws `denied`. */
  async refuseStopped(): Promise<void> {
    this.#job.signal.throwIfAborted();
    await this.#job.renew();
    const standing = await standingOf(this.#parts.database.read, this.#deployment);
    if (!standing.isActive) throw new Ended();
    if (!standing.isAllowed) throw new BerthError('denied');
  }

  async report(step: Omit<DeploymentOperation, 'atMicros'>): Promise<void> {
    const changedAtMicros = this.#parts.clock.nowMicros();
    this.#operations.push({ ...step, atMicros: changedAtMicros });
    const { uid } = this.#deployment;
    const { database } = this.#parts;
    const state = {
      uid,
      state: 'Running',
      outputs: {},
      operations: this.#operations,
      error: undefined,
      changedAtMicros,
    } as const;
    if (!(await database.transaction((tx) => writeProgress(tx, state)))) throw new Ended();
  }

  async end({
    errors,
    outputs,
  }: {
    readonly errors: readonly ArmErrorPart[];
    readonly outputs: JsonObject;
  }): Promise<void> {
    const ended: Deployment = {
      ...this.#deployment,
      state: errors.length === 0 ? 'Succeeded' : 'Failed',
      outputs,
      operations: this.#operations,
      error: errors.length === 0 ? undefined : failure(errors),
      changedAtMicros: this.#parts.clock.nowMicros(),
    };
    await this.#parts.journal.transaction(async (tx, append) => {
      if (await writeProgress(tx, ended)) append(eventOf('deployment.ended', ended));
    });
  }
}

/** Outputs and parameters stay out of the journal: it is kept for good. */
export function eventOf(
  type: 'deployment.begun' | 'deployment.ended' | 'deployment.deleted',
  deployment: Deployment,
): NewEvent {
  const { uid, groupUid, name, mode, state, correlationId, author, tenantUid } = deployment;
  return {
    stream: tenantStreamOf(tenantUid),
    type,
    version: 1,
    actor: author.uid,
    data: { uid, groupUid, name, mode, state, correlationId },
  };
}

export function failure(errors: readonly ArmErrorPart[]): DeploymentError {
  return {
    code: 'DeploymentFailed',
    message: 'At least one resource deployment operation failed. Please list deployment operations for details.',
    details: errors.map(({ code, message, target }) => ({
      code,
      message,
      ...(target === undefined ? {} : { target }),
    })),
  };
}
