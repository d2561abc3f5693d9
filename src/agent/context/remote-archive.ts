import type { Clock } from '../../platform/clock.ts';
import type { Outbound, OutboundResponse } from '../../platform/outbound/outbound.ts';
import { RunFailure, reasonOf } from '../run-failure.ts';
import { withoutSecrets } from './location.ts';

const tries = 3;
const firstPauseMs = 250;
const maxPauseMs = 5_000;
const maxShownBytes = 1_000;

/** Opens an archive elsewhere: at most 3 tries; an answer of 4xx is final, and its text tells why. Throws RunFailure. Source: ACR tasks, 1.3. */
export async function openRemoteArchive(
  { outbound, clock }: { readonly outbound: Outbound; readonly clock: Clock },
  { url, maxBytes, signal }: { readonly url: string; readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<AsyncIterable<Uint8Array>> {
  let reason = '';
  for (let number = 0; number < tries; number += 1) {
    if (number > 0) await clock.sleep(Math.min(maxPauseMs, firstPauseMs * 2 ** number), signal);
    const answer = await outbound.call({ url, maxBytes, signal }).catch((cause: unknown) => {
      signal.throwIfAborted();
      reason = reasonOf(cause);
    });
    if (answer === undefined) continue;
    if (answer.status === 200) return answer.body;
    reason = `${answer.status} ${await textOf(answer)}`;
    if (answer.status < 500) break;
  }
  throw new RunFailure(`cannot fetch ${withoutSecrets(url)}: ${reason}`);
}

async function textOf(answer: OutboundResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > maxShownBytes) break;
  }
  return Buffer.concat(chunks).toString('utf8').slice(0, maxShownBytes).trim();
}
