import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Outbound, OutboundResponse } from '../../platform/outbound/outbound.ts';
import { OutboundError } from '../../platform/outbound/outbound-error.ts';
import type { VaultSecret } from '../../wire/tasks/vault-secret.ts';
import { resourceAudiences } from '../identity/tenant-resource.ts';

/** A secret that a run does not get: why, without what a vault said beside its status and the code of its error. */
export class VaultRefusal extends Error {}

type Asking = {
  readonly outbound: Pick<Outbound, 'call'>;
  readonly clock: Pick<Clock, 'sleep'>;
  /** A token of the identity that reads the secret. */
  readonly tokenFor: (audience: string) => Promise<string>;
  /** `iss` of those tokens. */
  readonly issuer: string;
  readonly signal: AbortSignal;
};

type Answer = { readonly status: number; readonly headers: OutboundResponse['headers']; readonly body: unknown };

/** Of an answer; the value of a secret has at most 25 KiB in Azure. */
const maxBytes = 64 * 1024;
const timeoutMs = 10_000;
/** A vault that is busy for longer, by its `Retry-After`, is waited for by nobody; without that header the wait is the other. */
const [mostWaitSeconds, waitSeconds] = [5, 1];
const apiVersion = '7.4';
const azureVaults = 'https://vault.azure.net';

const valueSchema = z.object({ value: z.string() });
/** Source: Key Vault REST, "Authentication, requests and responses", error responses. */
const errorSchema = z.object({ error: z.object({ code: z.string().regex(/^[\w.-]{1,100}$/) }) });

/**
 * The value of a secret. A vault is asked without a token first and says then for whom it wants one, as Azure's clients have
 * it. Throws VaultRefusal. Source: Key Vault REST, "Get Secret"; "Authentication, requests and responses"; RFC 6750, section 3.
 */
export async function readVaultSecret(secret: VaultSecret, asking: Asking): Promise<string> {
  const challenged = await ask(secret, asking, undefined);
  if (challenged.status !== 401) return valueIn(secret, challenged);
  const audience = audienceOf(secret.keyvault, challenged.headers.get('www-authenticate') ?? '');
  const answer = await ask(secret, asking, await asking.tokenFor(audience));
  if (answer.status !== 401) return valueIn(secret, answer);
  throw refusal(
    secret,
    `refuses the token of the identity${codeOf(answer)}: it has to trust the issuer ${asking.issuer} for the audience ${audience}`,
  );
}

/**
 * For whom the token of a vault is: what its challenge asks for, where that is the vault's own name or a domain that it is in,
 * else a host that a task names could ask for a token that opens another. Throws VaultRefusal.
 */
export function audienceOf(keyvault: string, challenge: string): string {
  const vault = new URL(keyvault);
  const [, resource] = /\bresource="([^"]{1,300})"/i.exec(challenge) ?? [];
  const [, scope] = /\bscope="([^"\s]{1,300})\/\.default"/i.exec(challenge) ?? [];
  const asked = resource ?? scope;
  const isOwn = asked === undefined || isOf(vault, URL.parse(asked));
  const audience = asked ?? (isBelow(vault, new URL(azureVaults)) ? azureVaults : vault.origin);
  if (isOwn && !Object.values(resourceAudiences).includes(audience)) return audience;
  throw new VaultRefusal(
    `the key vault ${vault.host} asks for a token for something else than itself, and is given none`,
  );
}

function isOf(vault: URL, named: URL | null): boolean {
  if (named?.protocol !== 'https:') return false;
  const isSame = named.hostname === vault.hostname && (named.port === '' || named.port === vault.port);
  return isSame || isBelow(vault, named);
}

function isBelow({ hostname }: URL, domain: URL): boolean {
  return domain.port === '' && domain.hostname.includes('.') && hostname.endsWith(`.${domain.hostname}`);
}

/** Vaults count requests, and a run may ask for many at once: one that is busy for a moment is asked once more. */
async function ask(secret: VaultSecret, asking: Asking, token: string | undefined): Promise<Answer> {
  const answer = await askOnce(secret, asking, token);
  if (answer.status !== 429 && answer.status !== 503) return answer;
  const [written] = /^\d{1,9}$/.exec(answer.headers.get('retry-after') ?? '') ?? [];
  const seconds = written === undefined ? waitSeconds : Number(written);
  if (seconds > mostWaitSeconds) return answer;
  await asking.clock.sleep(seconds * 1_000, asking.signal);
  return await askOnce(secret, asking, token);
}

async function askOnce(secret: VaultSecret, { outbound, signal }: Asking, token: string | undefined): Promise<Answer> {
  try {
    const { status, headers, body } = await outbound.call({
      url: `${secret.keyvault.replace(/\/$/, '')}?api-version=${apiVersion}`,
      headers: { accept: 'application/json' },
      ...(token === undefined ? {} : { credentials: { authorization: `Bearer ${token}` } }),
      ...{ maxBytes, timeoutMs, totalTimeoutMs: timeoutMs, maxRedirects: 0, signal },
    });
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    return { status, headers, body: parse(Buffer.concat(pieces).toString('utf8')) };
  } catch (cause) {
    if (!(cause instanceof OutboundError)) throw cause;
    throw refusal(secret, `cannot be asked: ${cause.message}`, cause);
  }
}

function valueIn(secret: VaultSecret, answer: Answer): string {
  const { status, body } = answer;
  if (status !== 200) throw refusal(secret, `answered ${status}${codeOf(answer)}`);
  const found = valueSchema.safeParse(body);
  if (found.success) return found.data.value;
  throw refusal(secret, 'answered without a value');
}

function codeOf({ body }: Answer): string {
  const code = errorSchema.safeParse(body).data?.error.code;
  return code === undefined ? '' : ` (${code})`;
}

function refusal({ id, keyvault }: VaultSecret, what: string, cause?: unknown): VaultRefusal {
  return new VaultRefusal(`the secret '${id}' cannot be read: the key vault ${new URL(keyvault).host} ${what}`, {
    cause,
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Told with the status.
    return undefined;
  }
}
