import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Whether a message was sent by somebody who knows the secret: signed with it (GitHub, Gitea), with it in a header (GitLab),
 * or with it as a password (Azure Repos). Header names in lower case.
 */
export function isSigned(headers: ReadonlyMap<string, string>, body: Uint8Array, secret: string): boolean {
  const signature = (headers.get('x-hub-signature-256') ?? headers.get('x-gitea-signature'))?.replace(/^sha256=/, '');
  if (signature !== undefined) return isSame(signature, createHmac('sha256', secret).update(body).digest('hex'));
  const token = headers.get('x-gitlab-token') ?? passwordOf(headers.get('authorization'));
  return token !== undefined && isSame(token, secret);
}

function passwordOf(authorization: string | undefined): string | undefined {
  const encoded = /^basic ([\w+/=-]+)$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : text.slice(colon + 1);
}

/** In the same time wherever they differ. */
function isSame(a: string, b: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}
