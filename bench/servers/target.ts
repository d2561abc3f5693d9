import { z } from 'zod';
import { type Answer, headerOf } from '../http/answer-reader.ts';
import { Connection } from '../http/connection.ts';

export type Credentials = { readonly username: string; readonly password: string };

/** A running registry under load. */
export type Target = {
  readonly name: string;
  readonly origin: URL;
  /** Absent where the registry lets everyone in. */
  readonly credentials?: Credentials;
  /** Header lines that every request of the sequences carries: Basic where there are credentials, as `zb -A` does. */
  readonly authorizationLines: readonly string[];
  /** The server's main process; absent for a registry that runs elsewhere. */
  readonly pid: () => number | undefined;
  /** Stops the server and starts it again on its data; resolves with the milliseconds from start to ready. */
  readonly restart?: () => Promise<number>;
};

/** Where the token of a challenge comes from. */
export type TokenSource = { readonly url: URL; readonly authorizationLine: string };

const tokenSchema = z.object({ token: z.string().optional(), access_token: z.string().optional() });

export function basicLine(credentials: Credentials): string {
  return `Authorization: Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
}

/** Reads the registry's challenge for pulling `repository`; undefined when it does not ask for a token. */
export async function tokenSourceOf(target: Target, repository: string): Promise<TokenSource | undefined> {
  const answer = await get(new URL(`/v2/${repository}/tags/list`, target.origin), []);
  const challenge = headerOf(answer, 'www-authenticate') ?? '';
  const realm = /realm="([^"]*)"/.exec(challenge)?.[1];
  if (!challenge.startsWith('Bearer ') || realm === undefined || target.credentials === undefined) return undefined;
  const url = new URL(realm, target.origin);
  const service = /service="([^"]*)"/.exec(challenge)?.[1];
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', `repository:${repository}:pull`);
  return { url, authorizationLine: basicLine(target.credentials) };
}

/** A bearer token for pulling `repository`, as a header line; what the sequences use where the registry gives no tokens. */
export async function pullLines(target: Target, repository: string): Promise<readonly string[]> {
  const source = await tokenSourceOf(target, repository);
  if (source === undefined || target.credentials === undefined) return target.authorizationLines;
  const answer = await get(source.url, [source.authorizationLine]);
  const token = tokenSchema.parse(JSON.parse(answer.body.toString()));
  return [`Authorization: Bearer ${token.access_token ?? token.token ?? ''}`];
}

async function get(url: URL, lines: readonly string[]): Promise<Answer> {
  const connection = new Connection(url);
  const head = [`GET ${url.pathname}${url.search} HTTP/1.1`, ...lines, ''].join('\r\n');
  const answer = await connection.send({ head, keepsBody: true });
  connection.close();
  return answer;
}
