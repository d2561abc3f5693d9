import { z } from 'zod';
import type { Clock } from '../../clock.ts';
import type { Outbound } from '../../outbound/outbound.ts';

/** Where the machine's own identity service answers; it asks for no secret, as it knows the machine. */
export const identityHost = { host: '169.254.169.254', port: 80 };
const address = `http://${identityHost.host}/metadata/identity/oauth2/token`;
const apiVersion = '2018-02-01';
const resource = 'https://storage.azure.com/';
const maxBytes = 64 * 1024;
const timeoutMs = 10_000;
/** A token is replaced so long before its end. */
const spareMs = 300_000;
/** A service that gave none is left alone so long, where the token that is held is still good. */
const restMs = 30_000;
/** The service is known to be slow to answer after the start of a machine, and to ask callers to come again. */
const pausesMs = [500, 2_000, 5_000];

const answerSchema = z.object({ access_token: z.string(), expires_on: z.coerce.number() });

/** As the storage SDK takes it. */
export type StorageToken = { readonly token: string; readonly expiresOnTimestamp: number };
export type StorageCredential = { readonly getToken: () => Promise<StorageToken> };

/**
 * Tokens for Azure Storage from the managed identity of the machine: the only one it has, unless `clientId` says which. Throws what
 * the service answered. Source: Microsoft Entra ID, "How to use managed identities on an Azure VM to acquire an access token".
 */
export function managedIdentity(outbound: Outbound, clock: Clock, clientId: string | undefined): StorageCredential {
  let held: StorageToken | undefined;
  let asking: Promise<StorageToken> | undefined;
  let restsUntilMs = 0;
  const nowMs = () => clock.nowMicros() / 1_000;
  const isGood = (token: StorageToken) => {
    const lastsMs = token.expiresOnTimestamp - nowMs();
    return lastsMs > (nowMs() < restsUntilMs ? 0 : spareMs);
  };
  const ask = async () => {
    try {
      held = await askPatiently(outbound, clock, clientId);
      return held;
    } catch (error) {
      restsUntilMs = nowMs() + restMs;
      if (held !== undefined && isGood(held)) return held;
      throw error;
    } finally {
      asking = undefined;
    }
  };
  return {
    getToken: async () => {
      if (held !== undefined && isGood(held)) return held;
      asking ??= ask();
      return await asking;
    },
  };
}

async function askPatiently(outbound: Outbound, clock: Clock, clientId: string | undefined): Promise<StorageToken> {
  for (const pauseMs of pausesMs) {
    const token = await askOnce(outbound, clientId);
    if (token !== undefined) return token;
    await clock.sleep(pauseMs);
  }
  const token = await askOnce(outbound, clientId);
  if (token !== undefined) return token;
  throw new Error('the identity service of this machine is busy: no token for the blob store');
}

/** Undefined when the service asks to come again. */
async function askOnce(outbound: Outbound, clientId: string | undefined): Promise<StorageToken | undefined> {
  const query = new URLSearchParams({ 'api-version': apiVersion, resource, ...(clientId && { client_id: clientId }) });
  const answer = await outbound.call({
    url: `${address}?${query}`,
    headers: { metadata: 'true' },
    maxBytes,
    maxRedirects: 0,
    totalTimeoutMs: timeoutMs,
  });
  const text = await textOf(answer.body);
  if ([404, 410, 429].includes(answer.status) || answer.status >= 500) return undefined;
  if (answer.status !== 200)
    throw new Error(
      `the identity service of this machine gives no token for the blob store (${answer.status}): give the machine a managed ` +
        'identity, name one with ?identity=<client id>, or set BERTH_BLOBS_KEY',
    );
  const { access_token: token, expires_on: expiresOn } = answerSchema.parse(JSON.parse(text));
  return { token, expiresOnTimestamp: expiresOn * 1_000 };
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(body)).toString('utf8');
}
