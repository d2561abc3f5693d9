/** What an Authorization header says; `malformed` stands for every form no client of ours sends. */
export type Authorization =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly userName: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'malformed' };

const malformed = { kind: 'malformed' } as const;
const header = /^([a-z]+) +([A-Za-z0-9._~+/=-]+)$/i;

/** Source: RFC 7617 (Basic, in UTF-8), RFC 6750 section 2.1 (Bearer). */
export function parseAuthorization(value: string | undefined): Authorization {
  if (value === undefined) return { kind: 'none' };
  const [, scheme, credentials] = header.exec(value) ?? [];
  if (scheme === undefined || credentials === undefined) return malformed;
  switch (scheme.toLowerCase()) {
    case 'basic':
      return parseBasic(credentials);
    case 'bearer':
      return { kind: 'bearer', token: credentials };
    default:
      return malformed;
  }
}

function parseBasic(credentials: string): Authorization {
  const text = decodeBase64(credentials);
  const colon = text?.indexOf(':') ?? -1;
  // No name holds NUL, and PostgreSQL refuses it in a text.
  if (text === undefined || colon < 0 || text.includes('\0')) return malformed;
  return { kind: 'basic', userName: text.slice(0, colon), password: text.slice(colon + 1) };
}

function decodeBase64(text: string): string | undefined {
  const bytes = Buffer.from(text, 'base64');
  const isCanonical = bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '');
  if (!isCanonical) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // Not UTF-8: no name or password of ours.
    return undefined;
  }
}
