import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { type Journal, tenantStreamOf } from '../../platform/journal/journal.ts';
import { hashSecret } from '../../platform/keys/secret-hash.ts';

/** Whose runs an agent takes: those of a pool of one registry, or of the pool that every registry has. */
export type AgentPool = {
  /** Empty for the pool that every registry has, whose agents belong to the installation. */
  readonly registryUid: string;
  /** In lower case; empty for the same. */
  readonly key: string;
};

export const sharedPool: AgentPool = { registryUid: '', key: '' };

const builtInUid = 'built-in';

export type AgentTokensParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly tenantUid: string;
};

export type AgentToken = { readonly uid: string; readonly pool: AgentPool; readonly createdAtMicros: number };

/** What agents show the server. A token is told once and kept as a hash. */
export class AgentTokens {
  readonly #parts: AgentTokensParts;

  constructor(parts: AgentTokensParts) {
    this.#parts = parts;
  }

  async create(pool: AgentPool, actor: string): Promise<{ readonly uid: string; readonly token: string }> {
    const { journal, clock, ids } = this.#parts;
    const uid = ids.uid();
    const token = `berth-agent-${Buffer.from(ids.bytes(32)).toString('base64url')}`;
    await journal.transaction(async (tx, append) => {
      await tx
        .insertInto('agent_tokens')
        .values({
          uid,
          registry_uid: pool.registryUid,
          pool_key: pool.key,
          verifier: hashSecret(token),
          created_at: clock.nowMicros(),
        })
        .execute();
      append(this.#event('agentToken.created', actor, { uid, ...pool }));
    });
    return { uid, token };
  }

  /** The token of the agents that servers start themselves; in place of an older one, and the same for all of them. */
  async keepBuiltIn(token: string): Promise<void> {
    const { database, clock } = this.#parts;
    const row = {
      uid: builtInUid,
      registry_uid: sharedPool.registryUid,
      pool_key: sharedPool.key,
      verifier: hashSecret(token),
      created_at: clock.nowMicros(),
    };
    await database.transaction(async (tx) => {
      await tx
        .insertInto('agent_tokens')
        .values(row)
        .onConflict((conflict) => conflict.column('uid').doUpdateSet({ verifier: row.verifier }))
        .execute();
    });
  }

  /** The next call of an agent that has it is refused. False for one that is not there. */
  async remove(uid: string, actor: string): Promise<boolean> {
    return await this.#parts.journal.transaction(async (tx, append) => {
      const row = await tx.deleteFrom('agent_tokens').where('uid', '=', uid).returning('uid').executeTakeFirst();
      if (row !== undefined) append(this.#event('agentToken.removed', actor, { uid }));
      return row !== undefined;
    });
  }

  /** Oldest first. */
  async list(): Promise<AgentToken[]> {
    const rows = await this.#parts.database.read
      .selectFrom('agent_tokens')
      .selectAll()
      .orderBy('created_at')
      .orderBy('uid')
      .limit(1_000)
      .execute();
    return rows.map((row) => ({
      uid: row.uid,
      pool: { registryUid: row.registry_uid, key: row.pool_key },
      createdAtMicros: row.created_at,
    }));
  }

  /** Throws `agentUnknown`. Found by its hash, so that nothing is compared that a clock could measure. */
  async poolOf(token: string | undefined): Promise<AgentPool> {
    const row =
      token &&
      (await this.#parts.database.read
        .selectFrom('agent_tokens')
        .select(['registry_uid', 'pool_key'])
        .where('verifier', '=', hashSecret(token))
        .executeTakeFirst());
    if (!row) throw new BerthError('agentUnknown');
    return { registryUid: row.registry_uid, key: row.pool_key };
  }

  #event(type: string, actor: string, data: Readonly<Record<string, unknown>>) {
    return { stream: tenantStreamOf(this.#parts.tenantUid), type, version: 1, actor, data };
  }
}
