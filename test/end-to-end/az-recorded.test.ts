import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { newestAzVersion } from '../support/az-newest.ts';
import { type Exchange, recordingSchema } from '../support/az-recording/exchange.ts';
import type { Values } from '../support/az-recording/placeholders.ts';
import { recordedSettings, replay, unread, valuesOf } from '../support/az-recording/replay.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';

/**
 * What two versions of `az` sent, sent again to a fresh server: every member and header of each answer is as it was when
 * `az` took it, and what `az` printed of it is in it. `node test/support/az-recording/record.ts` writes the recordings.
 */
for (const version of ['2.45.0', newestAzVersion]) {
  const file = join(import.meta.dirname, `../support/az-recording/az-${version}.json`);
  const { commands } = recordingSchema.parse(JSON.parse(readFileSync(file, 'utf8')));

  describe(`az ${version}, as recorded`, () => {
    let server: BerthServer;
    let values: Values;

    before(async () => {
      server = await startBerth({ settings: recordedSettings });
      values = valuesOf(server, server.http);
    });
    after(async () => await server.remove());

    // Each builds on the ones before, as the commands did.
    for (const { command, printed, exchanges } of commands) {
      test(command, async () => {
        const answers: Exchange['answer']['body'][] = [];
        for (const exchange of exchanges) answers.push(await replay(exchange, values));
        assert.deepEqual(unread(printed, answers, values), []);
      });
    }
  });
}
