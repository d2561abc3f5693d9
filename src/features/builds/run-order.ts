import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { RegistryCredential, RunLimits, RunOrder, RunVariables } from '../../wire/builds/agent-protocol.ts';
import { maxVaultSecrets, type VaultSecret } from '../../wire/tasks/vault-secret.ts';
import type { RunTokens } from '../access/run-tokens.ts';
import type { Directory } from '../registries/directory.ts';
import type { Registry } from '../registries/registry.ts';
import { refuse } from '../resources/refuse.ts';
import type { AgentCall } from './agent-call.ts';
import type { AgentPool } from './agent-tokens.ts';
import { type AliasImages, aliasImagesOf } from './alias-images.ts';
import type { PoolTerms } from './pool-capacity.ts';
import type { CustomRegistry, NewRun, RunTrigger } from './run.ts';
import { masksOf } from './run-masks.ts';
import type { SealedOrder } from './run-order-secrets.ts';
import { type RunRow, runOf } from './run-store.ts';
import type { ReadVaultSecrets } from './vault-secrets.ts';

/** Every one is a name in the rooms of runs. */
const maxPublicServers = 200;

/** Half a lease: an agent waits for its order meanwhile. */
const vaultsTimeoutMs = 15_000;
/** As of those that are given themselves. */
const longestCredential = 8_000;
const vaultsSlow = `key vaults took longer than ${vaultsTimeoutMs / 1000} s`;

/** What `refuse` puts into an error. */
const messageSchema = z.object({ message: z.string() });

export type RunOrderParts = {
  readonly directory: Pick<Directory, 'byUid' | 'byHost' | 'list' | 'refresh'>;
  readonly runTokens: Pick<RunTokens, 'issue' | 'end'>;
  readonly readVaultSecrets: ReadVaultSecrets;
  readonly clock: Clock;
  /** Of a registry, as agents reach it. */
  readonly registryUrlOf: (registry: Registry) => string;
  /** PEM of the authority that signed the server's certificates; undefined where clients know it anyway. */
  readonly caCertificate: () => Promise<string | undefined>;
  readonly hasNetwork: boolean;
  /** None unless given: words stand for what they usually do. */
  readonly aliasImages?: AliasImages;
  readonly limits: Omit<RunLimits, 'cpus'>;
};

export type HandedOut = { readonly order: RunOrder; readonly tokenUids: readonly string[] };

/** What an agent is told of a run that it has just taken, with tokens made for it. */
export type ComposeOrder = (
  row: RunRow,
  sealed: SealedOrder,
  lease: {
    readonly lease: string;
    readonly leaseSeconds: number;
    readonly pool: AgentPool;
    readonly terms: PoolTerms;
    /** The agent's call. */
    readonly from: AgentCall;
  },
) => Promise<HandedOut>;

type Credentials = { readonly credentials: RegistryCredential[]; readonly tokenUids: string[] };

/** Throws `registryUnknown`, `directoryObjectUnknown`, `runRequestInvalid`. */
export function createComposeOrder(parts: RunOrderParts): ComposeOrder {
  return async (row, sealed, { lease, leaseSeconds, pool, terms, from }) => {
    await parts.directory.refresh();
    const registry = parts.directory.byUid(row.registry_uid);
    if (registry === undefined) throw new BerthError('registryUnknown');
    const run = runOf(row);
    const timeoutSeconds = secondsLeft(row, parts.clock.nowMicros());
    const { customRegistries, masked } = await withVaultSecrets(parts, row, sealed, from);
    const lent = { authority: sealed.authority, customRegistries };
    const { credentials, tokenUids } = await credentialsOf(parts, row, lent, { registry, pool, timeoutSeconds });
    const caCertificate = await parts.caCertificate();
    const order: RunOrder = {
      lease,
      leaseSeconds,
      runId: row.run_id,
      attempt: row.attempt,
      logOffset: row.log_received,
      timeoutSeconds,
      work: sealed.work,
      source: sealed.source,
      platforms: [...run.platforms],
      variables: variablesOf(row, registry),
      credentials,
      registryUrl: parts.registryUrlOf(registry),
      ...(caCertificate === undefined ? {} : { caCertificate }),
      publicServers: publicServersOf(parts, registry),
      imageAliases: aliasImagesOf(parts.aliasImages ?? new Map(), registry.loginServer),
      hasNetwork: parts.hasNetwork && terms.hasNetwork,
      limits: { ...parts.limits, cpus: run.cpus, ...terms.limits },
      masked: [...new Set([...masksOf(sealed, credentials), ...masked])],
    };
    return { order, tokenUids };
  };
}

/** For people who look at a run that could not be done. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof BerthError)) return 'the server failed to hand the run to an agent; its log says why';
  switch (error.error) {
    case 'registryUnknown':
      return 'the registry is being deleted';
    case 'directoryObjectUnknown':
      return 'the identity that the run works with is gone or disabled: ask for the run again as somebody else';
    default:
      return messageSchema.safeParse(error.detail).data?.message ?? error.message;
  }
}

type VaultParts = { readonly customRegistries: readonly CustomRegistry[]; readonly masked: readonly string[] };

/** With what key vaults keep of their user names and passwords, and what of that no log shows. Throws `runRequestInvalid`. */
async function withVaultSecrets(
  { readVaultSecrets, clock }: RunOrderParts,
  run: RunRow,
  { customRegistries }: SealedOrder,
  from: AgentCall,
): Promise<VaultParts> {
  const secrets = customRegistries.flatMap(({ vault }) => secretsIn(vault));
  if (secrets.length === 0) return { customRegistries, masked: [] };
  if (secrets.length > maxVaultSecrets)
    throw lacking(`they name ${secrets.length} secrets of key vaults, and a run has at most ${maxVaultSecrets}`);
  const [late, read] = [new AbortController(), new AbortController()];
  const inTime = clock.sleep(vaultsTimeoutMs, read.signal).then(
    () => late.abort(),
    () => {},
  );
  const answer = await readVaultSecrets({ run, secrets, from, signal: late.signal }).finally(() => read.abort());
  await inTime;
  if ('refusal' in answer) throw lacking(late.signal.aborted ? vaultsSlow : answer.refusal);
  const long = answer.values.find(({ value }) => value.length > longestCredential);
  if (long !== undefined) throw lacking(`the secret '${long.id}' has more than ${longestCredential} letters`);
  const values = answer.values.map(({ value }) => value);
  const filled = customRegistries.map((each) => {
    const [username, password] = [each.vault?.username, each.vault?.password].map((named) => named && values.shift());
    return {
      ...each,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    };
  });
  return { customRegistries: filled, masked: answer.masked };
}

function lacking(why: string) {
  return refuse('runRequestInvalid', { message: `the run has not all credentials of its registries: ${why}` });
}

function secretsIn({ username, password }: NonNullable<CustomRegistry['vault']> = {}): readonly VaultSecret[] {
  return [username, password].filter((each) => each !== undefined);
}

/** Of the registry itself, and of every other that the run was given. */
async function credentialsOf(
  { runTokens, directory }: RunOrderParts,
  row: RunRow,
  { authority, customRegistries }: Pick<NewRun, 'authority' | 'customRegistries'>,
  of: { readonly registry: Registry; readonly pool: AgentPool; readonly timeoutSeconds: number },
): Promise<Credentials> {
  const made: Credentials = { credentials: [], tokenUids: [] };
  const issue = async (registry: Registry, principalUid: string) => {
    const token = await runTokens.issue({
      registryUid: registry.uid,
      principalUid,
      // Not to delete: what a build was made to run could empty the registry. Purges have a token of their own.
      scopes: [{ type: 'repository', name: '*', actions: ['pull', 'push', 'metadata_read'] }],
      // Agents of named pools stand in networks of others.
      isTrustedService: of.pool.key === '',
      lifetimeSeconds: Math.min(86_400, of.timeoutSeconds + 300),
      run: row.run_id,
    });
    made.tokenUids.push(token.tokenUid);
    made.credentials.push({ server: registry.loginServer, username: token.userName, password: token.password });
  };
  const addCustom = async ({ server, username, password, principalUid }: CustomRegistry) => {
    const ours = directory.byHost(server);
    if (username !== undefined && password !== undefined) made.credentials.push({ server, username, password });
    else if (principalUid !== undefined && ours !== undefined) await issue(ours, principalUid);
    else
      throw refuse('runRequestInvalid', {
        message: `the run has no credentials for ${server}: give it a user name and password, or an identity for a registry of this installation`,
      });
  };
  try {
    if (authority.kind === 'principal') await issue(of.registry, authority.principalId);
    for (const each of customRegistries) await addCustom(each);
    return made;
  } catch (error) {
    // Nobody will use them.
    for (const uid of made.tokenUids) await runTokens.end(uid);
    throw error;
  }
}

/** Of a run that is lent nothing too: what everybody may pull, a build may. Sorted, so that every attempt has the same. */
function publicServersOf({ directory }: RunOrderParts, { uid }: Registry): string[] {
  const others = directory.list().filter((each) => each.uid !== uid && each.isAnonymousPullEnabled);
  return others
    .map(({ loginServer }) => loginServer)
    .toSorted()
    .slice(0, maxPublicServers);
}

/** Time is up for all attempts together; an agent gets at least a moment to say so. */
function secondsLeft({ started_at: startedAt, timeout_seconds: timeout }: RunRow, nowMicros: number): number {
  const spent = Math.floor((nowMicros - (startedAt ?? nowMicros)) / 1_000_000);
  return Math.max(1, Math.min(timeout, timeout - spent));
}

/** Source: ACR tasks, 2.9. */
function variablesOf(row: RunRow, { loginServer }: Registry): RunVariables {
  const { runId, trigger, platforms, startedAtMicros, createdAtMicros, taskName = '' } = runOf(row);
  const [platform] = platforms;
  const source = trigger.kind === 'source' ? trigger : undefined;
  return {
    ID: runId,
    Registry: loginServer,
    RegistryName: loginServer.split('.')[0] ?? loginServer,
    Date: dateOf(startedAtMicros ?? createdAtMicros),
    OS: platform?.os ?? 'linux',
    Architecture: platform?.architecture ?? 'amd64',
    Commit: source?.commitId ?? '',
    Branch: source?.branchName ?? '',
    Repository: source?.repositoryUrl ?? '',
    GitTag: '',
    TriggeredBy: triggerName(trigger),
    TaskName: taskName,
  };
}

/** `20261121-162744z`. */
function dateOf(micros: number): string {
  const [date = '', time = ''] = new Date(micros / 1000).toISOString().replaceAll(/[-:]/g, '').split(/[T.]/);
  return `${date}-${time}z`;
}

/** As lists of runs say it. Source: ACR tasks, 3.2. */
function triggerName(trigger: RunTrigger): string {
  switch (trigger.kind) {
    case 'source':
      return trigger.eventType === 'commit' ? 'Commit' : 'Pull Request';
    case 'image':
      return 'Image Update';
    case 'timer':
      return 'Timer';
    case 'manual':
      return 'Manual';
  }
}
