import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { pushTags } from '../faults/webhooks.ts';
import { waitFor } from '../support/wait-for.ts';
import { useWorkbench } from './workbench.ts';

const eventSchema = z.looseObject({ specversion: z.literal('1.0'), subject: z.string(), type: z.string() });

/** Source: HTML standard, "Server-sent events". */
describe('the live stream of events', () => {
  const bench = useWorkbench();

  /** Follows until `close`; ids and subjects as they come. */
  const follow = async (headers: Record<string, string> = {}, query = '') => {
    const { username, password, server } = bench();
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    const stop = new AbortController();
    const answer = await fetch(`${server.http}/events${query}`, {
      headers: { authorization, ...headers },
      signal: stop.signal,
    });
    const seen: { readonly id: string; readonly subject: string }[] = [];
    let lastId = '';
    const read = async () => {
      let rest = '';
      for await (const text of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        const blocks = `${rest}${text}`.split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) {
          lastId = /^id: (.*)$/m.exec(block)?.[1] ?? lastId;
          const data = /^data: (.*)$/m.exec(block)?.[1];
          if (data !== undefined) seen.push({ id: lastId, subject: eventSchema.parse(JSON.parse(data)).subject });
        }
      }
    };
    const reading = read().then(
      () => 'ended' as const,
      () => 'cut' as const,
    );
    await waitFor('the first sign', 60_000, () => answer.status !== 200 || lastId !== '');
    return {
      answer,
      seen,
      ended: reading,
      lastId: () => lastId,
      close: async () => {
        stop.abort();
        await reading;
      },
    };
  };

  test('shows pushes as they happen, and goes on from the last event seen', async () => {
    const first = await follow();
    assert.equal(first.answer.headers.get('content-type'), 'text/event-stream');
    await pushTags(bench().server, ['a1', 'a2'], 1);
    await waitFor('two', 60_000, () => first.seen.length === 2);
    assert.deepEqual(
      first.seen.map(({ subject }) => subject),
      ['hooked:a1', 'hooked:a2'],
    );
    await first.close();
    await pushTags(bench().server, ['a3'], 1);
    const again = await follow({ 'last-event-id': first.seen[0]?.id ?? '' });
    await waitFor('the rest', 60_000, () => again.seen.length === 2);
    assert.deepEqual(
      again.seen.map(({ subject }) => subject),
      ['hooked:a2', 'hooked:a3'],
    );
    await again.close();
    const all = await follow({}, '?after=start');
    await waitFor('all', 60_000, () => all.seen.length === 3);
    await all.close();
  });

  test('wants credentials, and a cursor that is one', async () => {
    assert.equal((await follow({ authorization: '' })).answer.status, 401);
    assert.equal((await follow({}, '?after=nonsense')).answer.status, 400);
    const foreign = Buffer.from(JSON.stringify([['registry/other/home', 'x', 1]])).toString('base64url');
    assert.equal((await follow({}, `?after=${foreign}`)).answer.status, 400);
  });

  test('a server that stops does not wait for its followers', async () => {
    const { ended } = await follow();
    await bench().server.stop();
    // It would have cut who is waited for to the last.
    assert.equal(await ended, 'ended');
  });
});
