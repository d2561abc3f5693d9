import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Outbound } from '../../platform/outbound/outbound.ts';
import type { VaultSecrets } from '../../wire/builds/agent-protocol.ts';
import type { VaultSecret } from '../../wire/tasks/vault-secret.ts';
import { findManagedIdentity, type ManagedIdentity } from '../identity/managed-identities.ts';
import type { TenantTokens } from '../identity/tenant-tokens.ts';
import { findByUid } from '../resources/resource-store.ts';
import type { AgentCall } from './agent-call.ts';
import { readVaultSecret, VaultRefusal } from './key-vault.ts';
import type { VaultAccess } from './run.ts';
import { maskedForms } from './run-masks.ts';
import { openOrder } from './run-order-secrets.ts';
import type { RunRow } from './run-store.ts';
import { identitiesOf } from './tasks/task-run.ts';

export type VaultSecretsParts = {
  readonly database: Pick<Database, 'read'>;
  readonly sealer: Sealer;
  readonly tenantUid: string;
  readonly tenantTokens: Pick<TenantTokens, 'issueOutside' | 'issuer'>;
  readonly outbound: Pick<Outbound, 'call'>;
  readonly accessLog: Pick<AccessLog, 'record'>;
  readonly clock: Pick<Clock, 'sleep'>;
};

export type VaultSecretsAsked = {
  readonly run: RunRow;
  readonly secrets: readonly VaultSecret[];
  readonly from: AgentCall;
  readonly signal: AbortSignal;
};

/** Reads what key vaults keep for a run, as identities of its task. Throws SealError. */
export type ReadVaultSecrets = (asked: VaultSecretsAsked) => Promise<VaultSecrets>;

/** Source: ACR tasks, 2.2. */
const atOnce = 5;

export function createReadVaultSecrets(parts: VaultSecretsParts): ReadVaultSecrets {
  return async (asked) => {
    const stopper = new AbortController();
    const signal = AbortSignal.any([asked.signal, stopper.signal]);
    try {
      // Before a vault is asked for any.
      const readers = await readersOf(parts, asked);
      const values: { id: string; value: string }[] = [];
      for (let at = 0; at < readers.length; at += atOnce)
        values.push(
          ...(await Promise.all(readers.slice(at, at + atOnce).map((each) => read(parts, asked, each, signal)))),
        );
      return { values, masked: maskedForms(values.map(({ value }) => value)) };
    } catch (error) {
      stopper.abort(error);
      if (error instanceof VaultRefusal) return { refusal: error.message };
      if (asked.signal.aborted) return { refusal: 'the run waits for its secrets no longer' };
      throw error;
    }
  };
}

type Reader = { readonly secret: VaultSecret; readonly identity: ManagedIdentity };

async function read(
  { outbound, tenantTokens, accessLog, clock }: VaultSecretsParts,
  { from }: VaultSecretsAsked,
  { secret, identity }: Reader,
  signal: AbortSignal,
): Promise<{ readonly id: string; readonly value: string }> {
  const tokenFor = async (audience: string) => {
    const { address, correlationId, userAgent } = from;
    accessLog.record({
      ...{ kind: 'signIn', identity: identity.uid, address, correlationId, status: 200 },
      ...(userAgent === undefined ? {} : { userAgent }),
    });
    return await tenantTokens.issueOutside(identity, audience);
  };
  const { issuer } = tenantTokens;
  const value = await readVaultSecret(secret, { outbound, clock, tokenFor, issuer, signal });
  return { id: secret.id, value };
}

/** Each secret with the identity that reads it, which may be gone by now. Throws VaultRefusal. */
async function readersOf(
  { database, sealer, tenantUid }: VaultSecretsParts,
  { run, secrets }: VaultSecretsAsked,
): Promise<readonly Reader[]> {
  const { vaultAccess } = run.sealed_order === null ? {} : openOrder(sealer, run.uid, run.sealed_order);
  const lent = await lentStill(database, run, vaultAccess);
  return await Promise.all(
    secrets.map(async (secret) => {
      const principalUid = principalOf(run, vaultAccess, secret);
      const identity = await findManagedIdentity(database.read, tenantUid, principalUid);
      if (identity === undefined) throw refusal(secret, 'the identity of the task that reads it is gone or disabled');
      if (lent.has(principalUid)) return { secret, identity };
      throw refusal(
        secret,
        'the task has that identity no longer, or is gone; what it has now reads for its next runs',
      );
    }),
  );
}

/** Uids of the identities that the task, or the run as a resource, has now: whoever takes one away ends its reading. */
async function lentStill(
  { read }: VaultSecretsParts['database'],
  run: RunRow,
  access: VaultAccess | undefined,
): Promise<ReadonlySet<string>> {
  if (access?.kind !== 'identities') return new Set();
  const uid = access.resourceUid ?? run.task_uid;
  const lender = uid === null ? undefined : await findByUid(read, uid);
  return new Set(lender === undefined ? [] : identitiesOf(lender).map(({ principalUid }) => principalUid));
}

function principalOf(run: RunRow, access: VaultAccess | undefined, secret: VaultSecret): string {
  if (access === undefined && run.task_uid !== null)
    throw refusal(secret, 'this run was queued before the server read key vaults for its task; run the task again');
  if (access === undefined)
    throw refusal(
      secret,
      `identities of tasks read key vaults, and this run is of none. Make it a task (az acr task create, az acr task identity assign), or give the value with --set-secret ${secret.id}=… and write {{.Values.${secret.id}}}`,
    );
  if (access.kind === 'none') throw refusal(secret, nobody[access.reason]);
  const wanted = secret.clientId?.toLowerCase();
  const found = access.identities.find(({ clientId }) => clientId === wanted);
  if (found !== undefined) return found.principalUid;
  throw refusal(
    secret,
    wanted === undefined
      ? 'the task has no system-assigned identity that could (az acr task identity assign), and the secret names no other by clientID'
      : `the task has no identity with the client id ${wanted} (az acr task identity assign)`,
  );
}

const nobody = {
  otherFiles: 'the files of this run are others than its task names, which its identities are not lent to',
  stranger: 'a pull request from a fork is lent no identity of its task',
} as const satisfies Record<Extract<VaultAccess, { kind: 'none' }>['reason'], string>;

function refusal({ id, keyvault }: VaultSecret, why: string): VaultRefusal {
  return new VaultRefusal(`the secret '${id}' of the key vault ${new URL(keyvault).host} cannot be read: ${why}`);
}
