import { type Expression, sql } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import { type Journal, streamOf } from '../../platform/journal/journal.ts';
import type { RepositoryTemplateBody } from '../../wire/admin/repository-template-schema.ts';
import { immutableTagRulesSchema } from '../../wire/arm/immutable-tags-schema.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { attributesOf, type Locks, withAttributes } from './attributes.ts';
import { createRepositoryGate, type RepositoryGate } from './repository-gate.ts';
import {
  beginApplying,
  idleApplications,
  isBeingApplied,
  lockedApplication,
  saveApplication,
} from './template-application.ts';

export type RepositoryTemplatesParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  /** Region of origin of what is written here. */
  readonly region: string;
};

export type TemplatesChange = {
  readonly registryUid: string;
  readonly tenantUid: string;
  readonly templates: readonly RepositoryTemplateBody[];
  /** Whether repositories that exist take over the rules for tags that are written once; their attributes stay. */
  readonly appliesToExisting: boolean;
  /** Uid of who asked. */
  readonly actor: string;
};

/** What repositories of a registry begin with. Repositories that exist keep what they have, unless rules shall apply to them. */
export class RepositoryTemplates {
  readonly #parts: RepositoryTemplatesParts;
  readonly #pass: RepositoryGate;

  constructor(parts: RepositoryTemplatesParts) {
    this.#parts = parts;
    this.#pass = createRepositoryGate(parts.database);
  }

  /** By prefix. */
  async list(registryUid: string): Promise<readonly RepositoryTemplateBody[]> {
    const rows = await this.#parts.database.read
      .selectFrom('repository_templates')
      .where('registry_uid', '=', registryUid)
      .orderBy('prefix')
      .select(['prefix', 'locks', 'immutable_tags'])
      .execute();
    return rows.map(({ prefix, locks, immutable_tags }) => {
      const { writeEnabled: _, ...attributes } = attributesOf(locks);
      const rules = immutableTagRulesSchema.parse(JSON.parse(immutable_tags));
      return { prefix, attributes, immutableTags: rules.map(({ repositories: _every, ...rule }) => rule) };
    });
  }

  /** Puts these in place of all. Throws `registryUnknown`. */
  async replace(change: TemplatesChange): Promise<void> {
    // Templates that are being applied stay until every repository has their rules.
    while (!(await this.#isReplaced(change))) await this.#applyRules(change.registryUid);
    if (change.appliesToExisting) await this.#applyRules(change.registryUid);
  }

  /** False, and nothing is changed, while those of before are being applied and these are not for what exists. */
  async #isReplaced(change: TemplatesChange): Promise<boolean> {
    const { registryUid, tenantUid, templates, appliesToExisting, actor } = change;
    const { journal, region, clock } = this.#parts;
    return await journal.transaction(async (tx, append) => {
      // First of all: who waits here for repositories that are being made holds nothing yet.
      await this.#pass(tx, { registry: registryUid, repository: '' }, true);
      if (!appliesToExisting && (await isBeingApplied(tx, registryUid))) return false;
      await raiseAccessEpoch(tx, tenantUid);
      const registry = await tx
        .selectFrom('registries')
        .where('uid', '=', registryUid)
        .where('is_deleting', '=', 0)
        .select('uid')
        .executeTakeFirst();
      if (registry === undefined) throw new BerthError('registryUnknown');
      await tx.deleteFrom('repository_templates').where('registry_uid', '=', registryUid).execute();
      const rows = templates.map((template) => rowOf(registryUid, template));
      if (rows.length > 0) await tx.insertInto('repository_templates').values(rows).execute();
      if (appliesToExisting) await beginApplying(tx, registryUid, clock.nowMicros());
      const data = { templates, appliesToExisting };
      append({ stream: streamOf(registryUid, region), type: 'repositoryTemplates.updated', version: 1, actor, data });
      return true;
    });
  }

  /** Goes on where a process ended before every repository had its rules. */
  async finish(job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
    const { database, clock } = this.#parts;
    for (const registryUid of await idleApplications(database.read, clock.nowMicros() - idleMicros)) {
      if (job.signal.aborted) return;
      await this.#applyRules(registryUid, job);
    }
  }

  /** From the repository after the last that has its rules. Pushes that have read the rules of before end first. */
  async #applyRules(registryUid: string, job?: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
    const { database, clock } = this.#parts;
    for (let isGoingOn = true; isGoingOn && job?.signal.aborted !== true; ) {
      isGoingOn = await database.transaction(async (tx) => {
        const after = await lockedApplication(tx, database.kind, registryUid);
        if (after === undefined) return false;
        const names = await this.#applyToSome(tx, registryUid, after);
        const last = names.length < slice ? undefined : names.at(-1);
        await saveApplication(tx, { registryUid, after: last, nowMicros: clock.nowMicros() });
        return last !== undefined;
      });
      await job?.renew();
    }
  }

  async #applyToSome(tx: Transaction, registryUid: string, after: string): Promise<readonly string[]> {
    const rows = await tx
      .selectFrom('repositories')
      .where('registry_uid', '=', registryUid)
      .where('name', '>', after)
      .orderBy('name')
      .limit(slice)
      .select(['uid', 'name'])
      .execute();
    for (const { name } of rows) await this.#pass(tx, { registry: registryUid, repository: name }, true);
    for (const { uid, name } of rows) {
      const { immutableTags } = await repositoryBeginning(tx, { registryUid, repository: name });
      await tx
        .updateTable('repositories')
        .set({ immutable_tags: immutableTags })
        .where('uid', '=', uid)
        .where('immutable_tags', '!=', immutableTags)
        .execute();
    }
    return rows.map(({ name }) => name);
  }
}

/** Whoever set the templates goes on at once: after so long without a step it was cut off. */
const idleMicros = 60_000_000;
/** Repositories of a transaction; their pushes wait for its commit. */
const slice = 20;

function rowOf(registryUid: string, { prefix, attributes, immutableTags }: RepositoryTemplateBody) {
  return {
    registry_uid: registryUid,
    prefix,
    locks: withAttributes(0, attributes),
    immutable_tags: JSON.stringify(immutableTagRulesSchema.parse(immutableTags)),
  };
}

/** What a repository of this name begins with. `immutableTags` is JSON, as its column. */
export type RepositoryBeginning = { readonly locks: Locks; readonly immutableTags: string };

/** By the template with the longest prefix of the name. */
async function repositoryBeginning(
  tx: Transaction,
  { registryUid, repository }: { readonly registryUid: string; readonly repository: string },
): Promise<RepositoryBeginning> {
  const { locks, immutable_tags: immutableTags } = beginningIn(
    sql`cast(${registryUid} as text)`,
    sql`cast(${repository} as text)`,
  );
  return await tx.selectNoFrom([locks.as('locks'), immutableTags.as('immutableTags')]).executeTakeFirstOrThrow();
}

/** The same as columns of a repository, for a statement that makes it. */
export function beginningIn(registry: Expression<string>, name: Expression<string>) {
  const column = <T extends string | number>(of: 'locks' | 'immutable_tags', otherwise: T) => sql<T>`coalesce((
    select ${sql.ref(`t.${of}`)} from repository_templates as t
    where t.registry_uid = ${registry} and t.prefix = substr(${name}, 1, length(t.prefix))
    order by length(t.prefix) desc limit 1
  ), ${sql.lit(otherwise)})`;
  return { locks: column<Locks>('locks', 0), immutable_tags: column('immutable_tags', '[]') };
}
