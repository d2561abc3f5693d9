import assert from 'node:assert/strict';
import type { BerthServer } from '../berth-server.ts';
import { waitFor } from '../wait-for.ts';
import { answerHeaders, type Exchange } from './exchange.ts';
import { fits, type Values, withValues } from './placeholders.ts';

type Json = Exchange['answer']['body'];

/** Two regions: their list is part of many answers. */
export const recordedSettings = { locations: 'local,East US' } as const;

/** What names of a recording stand for on this server; `origin` is where clients reach it. */
export function valuesOf({ bootstrap, ports }: BerthServer, origin: string): Values {
  const { owner, tenantId, subscriptionId } = bootstrap;
  return new Map([
    ['origin', origin],
    ['host', new URL(origin).host],
    ['suffix', `berth.localhost:${ports.https}`],
    ['subscriptionId', subscriptionId],
    ['tenantId', tenantId],
    ['ownerId', owner.clientId],
    ['ownerSecret', owner.clientSecret],
    ['ownerPassword', owner.password],
  ]);
}

/** Sends a recorded request as `az` did and compares the whole answer; a look at something under way is repeated. */
export async function replay(recorded: Exchange, values: Values): Promise<Json> {
  const isPoll = /\/operation(statuses|results)\//i.test(recorded.request.path);
  if (!isPoll) return await sendAndCompare(recorded, values);
  let body: Json;
  await waitFor('the end of an operation', 15_000, async () => {
    const [status] = await send(recorded, values);
    if (status === 202) return false;
    body = await sendAndCompare(recorded, values).catch((error: unknown) => {
      if (error instanceof assert.AssertionError) return undefined;
      throw error;
    });
    return body !== undefined || status === 204;
  });
  return body;
}

async function sendAndCompare(recorded: Exchange, values: Values): Promise<Json> {
  const [status, headers, text] = await send(recorded, values);
  const { answer, request } = recorded;
  const place = `${request.method} ${request.path}`;
  assert.equal(status, answer.status, `${place}: status, with ${text.slice(0, 500)}`);
  for (const name of answerHeaders)
    compare(answer.headers[name], headers.get(name) ?? undefined, values, `${place}: ${name}`);
  const body: Json = text === '' ? undefined : JSON.parse(text);
  compare(answer.body, body, values, place);
  return body;
}

async function send({ request }: Exchange, values: Values): Promise<[number, Headers, string]> {
  const origin = values.get('origin') ?? '';
  const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [
    name,
    withValues(value, values),
  ]);
  const { method, body } = request;
  const answer = await fetch(`${origin}${withValues(request.path, values)}`, {
    method,
    headers,
    redirect: 'manual',
    ...(body === undefined ? {} : { body: textOf(body, values) }),
  });
  return [answer.status, answer.headers, await answer.text()];
}

function textOf(body: NonNullable<Exchange['request']['body']>, values: Values): string {
  if ('text' in body) return withValues(body.text, values);
  if ('json' in body) return withValues(JSON.stringify(body.json), values);
  const pairs = Object.entries(body.form).map(([name, value]): [string, string] => [name, withValues(value, values)]);
  return new URLSearchParams(pairs).toString();
}

/** Every member, whatever its order; texts by their placeholders. Throws with the place of the first difference. */
export function compare(recorded: Json, actual: Json, values: Values, place: string): void {
  if (typeof recorded === 'string' && typeof actual === 'string') {
    assert.ok(fits(recorded, actual, values), `${place}: '${actual}' is not '${recorded}'`);
  } else if (Array.isArray(recorded) && Array.isArray(actual)) {
    assert.equal(actual.length, recorded.length, `${place}: length`);
    for (const [index, each] of recorded.entries()) compare(each, actual[index], values, `${place}[${index}]`);
  } else if (isObject(recorded) && isObject(actual)) {
    assert.deepEqual(Object.keys(actual).map(String).sort(), Object.keys(recorded).sort(), `${place}: members`);
    for (const [name, each] of Object.entries(recorded)) compare(each, actual[name], values, `${place}.${name}`);
  } else assert.deepEqual(actual, recorded, place);
}

function isObject(value: Json): value is { [name: string]: NonNullable<Json> } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Made by `az` itself out of what it reads. */
const ownMembers = ['resourceGroup'];

/** What `az` printed that is in none of the answers: members whose values they do not have, by name. */
export function unread(printed: Json, answers: readonly Json[], values: Values): string[] {
  const held = answers.flatMap((answer) => [...leavesOf(answer, '')]);
  const isHeld = (value: NonNullable<Json>) =>
    held.some(([, each]) =>
      typeof value === 'string' ? typeof each === 'string' && fits(value, each, values) : each === value,
    );
  return [...leavesOf(printed, '')]
    .filter(([name, value]) => value !== null && !ownMembers.includes(name) && !isHeld(value))
    .map(([name]) => name);
}

function* leavesOf(value: Json, name: string): Generator<readonly [string, string | number | boolean | null]> {
  if (value === undefined) return;
  if (Array.isArray(value)) for (const each of value) yield* leavesOf(each, name);
  else if (isObject(value)) for (const [member, each] of Object.entries(value)) yield* leavesOf(each, member);
  else if (typeof value !== 'object' || value === null) yield [name, value];
}
