import { minSecretLength } from '../../core/secret-finder.ts';
import type { RegistryCredential } from '../../wire/builds/agent-protocol.ts';
import type { RunWork } from '../../wire/builds/run-work.ts';
import { textOf } from '../../wire/tasks/template-value.ts';
import type { SealedOrder } from './run-order-secrets.ts';

/** Access tokens are longer than names of users. */
const minTokenLetters = 20;
/** What is shorter is in the base64 of other things too; what is longer is in no header. In bytes. */
const encoded = { least: 8, most: 1_024 };
/** Of all that is looked for in base64, so that secrets without number cost no more time in each log. */
const maxEncodedLetters = 32 * 1024;
/** Of all that stands in secrets that are JSON, for the same reason. */
const maxPartLetters = 128 * 1024;

/** Texts that the log of a run must not show: its secrets, and those of headers of requests as base64. */
export function masksOf({ work, source }: SealedOrder, credentials: readonly RegistryCredential[]): string[] {
  const passwords = credentials.map(({ password }) => password);
  const plain = withParts([...valuesOf(work), ...tokensOf(source), ...passwords]);
  // Builders and git keep them in this form, and what they say may quote it.
  const headers = [...credentials.map(({ username, password }) => inHeader(username, password)), ...headersOf(source)];
  const all = [...plain, ...headers, ...allInBase64([...passwords, ...plain])];
  return distinct(all);
}

/** Secrets themselves, the texts and numbers in those that are JSON, and how they stand in base64. */
export function maskedForms(secrets: readonly string[]): string[] {
  const plain = withParts(secrets);
  return distinct([...plain, ...allInBase64(plain)]);
}

/** Templates take JSON apart (`fromJson`): what stands in a secret that is an object or a list is a secret too. */
function withParts(secrets: readonly string[]): readonly string[] {
  let left = maxPartLetters;
  const parts = [...new Set(secrets.flatMap(textsInJson))].filter(({ length }) => {
    if (length < minSecretLength) return false;
    left -= length;
    return left >= 0;
  });
  return [...secrets, ...parts];
}

/** Numbers as templates print them. Without recursion: lists may be nested as deep as a secret is long. */
function textsInJson(secret: string): readonly string[] {
  if (!/^\s*[[{]/.test(secret)) return [];
  const texts: string[] = [];
  const waiting: unknown[] = [parsed(secret)];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value === 'string' || typeof value === 'number') texts.push(textOf(value));
    else if (typeof value === 'object' && value !== null) for (const each of Object.values(value)) waiting.push(each);
  }
  return texts;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // It is hidden as the text that it is.
    return undefined;
  }
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)].filter((text) => text !== '');
}

/**
 * How a text stands in the base64 of any text that it is in, by where it begins there; without the letters that its neighbours
 * have a part in. Of `Authorization: Basic`, whoever the user is. Source: RFC 4648, section 4.
 */
export function inBase64(text: string): string[] {
  const { length } = Buffer.from(text);
  if (length < encoded.least || length > encoded.most) return [];
  return [0, 1, 2].map((before) => {
    const letters = Buffer.from(`${' '.repeat(before)}${text}`).toString('base64');
    return letters.slice(Math.ceil((before * 8) / 6), Math.floor(((before + length) * 8) / 6));
  });
}

function allInBase64(texts: readonly string[]): string[] {
  let left = maxEncodedLetters;
  return [...new Set(texts)].flatMap(inBase64).filter(({ length }) => {
    left -= length;
    return left >= 0;
  });
}

function valuesOf(work: RunWork): string[] {
  const values = work.kind === 'dockerBuild' ? work.arguments : work.values;
  return values.filter(({ isSecret }) => isSecret).map(({ value }) => value);
}

function tokensOf(source: SealedOrder['source']): string[] {
  if (source.kind !== 'remote') return [];
  return [source.accessToken ?? '', ...secretsOfAddress(source.location)];
}

/** What stands before the host of an address: a password, or an access token as the name. As written, and as meant. */
function secretsOfAddress(location: string): string[] {
  const { username = '', password = '' } = URL.parse(location) ?? {};
  const isNameSecret = password === '' || username.length >= minTokenLetters;
  return [...(isNameSecret ? [username] : []), password].flatMap((written) => [written, meantBy(written)]);
}

/** As agents sign in to the server of the files (`credentialOf` of agent/context/git-context.ts). */
function headersOf(source: SealedOrder['source']): string[] {
  if (source.kind !== 'remote') return [];
  const { username = '', password = '' } = URL.parse(source.location) ?? {};
  const [name, word] = [meantBy(username), meantBy(password)];
  if (word !== '') return [inHeader(name, word)];
  const { accessToken } = source;
  if (accessToken !== undefined) return [inHeader(name === '' ? 'dummy' : name, accessToken)];
  return name === '' ? [] : [inHeader('dummy', name)];
}

function inHeader(name: string, password: string): string {
  return Buffer.from(`${name}:${password}`).toString('base64');
}

function meantBy(written: string): string {
  try {
    return decodeURIComponent(written);
  } catch {
    // It means what is written.
    return written;
  }
}
